"""Published numbers that stand beside ours, each with its source."""

from typing import NamedTuple


class PublishedRow(NamedTuple):
    """A row of a published table: mean and standard deviation over episodes, None where nothing was reported."""

    virtual: tuple[float, float] | None
    actual: tuple[float, float] | None
    temperature: float | None = None


WORLD_MODELS_DOOM = {
    # Ha & Schmidhuber 2018, table 2: 100 real rollouts a row.
    "tau-0.10": PublishedRow((2086, 140), (193, 58), 0.10),
    "tau-0.50": PublishedRow((2060, 277), (196, 50), 0.50),
    "tau-1.00": PublishedRow((1145, 690), (868, 511), 1.00),
    "tau-1.15": PublishedRow((918, 546), (1092, 556), 1.15),
    "tau-1.30": PublishedRow((732, 269), (753, 139), 1.30),
    "random": PublishedRow(None, (210, 108)),
}
WORLD_MODELS_CARRACING = {
    # Ha & Schmidhuber 2018, table 1: 100 episodes a row.
    "z-only": PublishedRow(None, (632, 251)),
    "z-hidden": PublishedRow(None, (788, 141)),
    "z-h": PublishedRow(None, (906, 21)),
}
CARRACING_IN_DREAMS = {
    # Wellmer & Kwok 2021 (arXiv 2109.08342): evolved in the dream, M trained on 90 % expert rollouts.
    "dream": PublishedRow(None, (400, 135)),
    "dream-dropout": PublishedRow(None, (625, 289)),
}
WORLD_MODELS_DOOM_WEIGHTS = {
    # The dream score in the released file, 958.5, is that of the paper's agent (appendix A.5), so its real score too.
    "published": PublishedRow(None, (1092, 556)),
    "random": PublishedRow(None, (210, 108)),
}
WORLD_MODELS_CARRACING_WEIGHTS = {
    # The released file's score over 1,024 episodes, 900.46, is that of appendix A.4.
    "published": PublishedRow(None, (906, 21)),
}

PUBLISHED_DQN = {
    # Chiappa et al. 2017, table in appendix A: the DQN agents that collected RES's data.
    "bowling": 51.84,
    "breakout": 396.25,
    "fishing_derby": 19.30,
    "freeway": 33.38,
    "ms_pacman": 2963.31,
    "pong": 20.88,
    "qbert": 14865.43,
    "riverraid": 13593.49,
    "seaquest": 17250.31,
    "space_invaders": 2952.09,
}
"""Mean scores of Atari agents, by ALE's name of the game."""


class PublishedCurve(NamedTuple):
    """Scores of the distribution's mean while a variant was evolved, by generation."""

    label: str
    points: dict[int, float]


CURVES: dict[str, dict[str, list[PublishedCurve]]] = {
    "world-models-carracing": {
        "z-h": [
            # log/carracing.cma.16.64.hist*.json of the released code; appendix A.4 says the last, too.
            PublishedCurve(
                "paper, 1,024 episodes",
                {25: 822.9, 50: 867.5, 100: 867.0, 200: 880.4, 475: 891.3, 625: 895.4, 1800: 900.46},
            ),
            # results/*/CarRacing-v0.cma.16.64.eval_hist.json of zacwellmer/WorldModels, its own V and M.
            PublishedCurve("Wellmer's re-implementation", {10: 730.0, 50: 842.0, 90: 880.0, 190: 888.0, 200: 885.0}),
        ],
    },
}
"""By published table and variant. Where training curves were published, all of 64 x 16 episodes a generation."""
QUOTED = {
    # Rows that the paper's table quotes from elsewhere; nothing of ours stands in them.
    "world-models-doom": {"gym leaderboard": PublishedRow(None, (820, 58))},
    "world-models-doom-weights": {
        # doomrnn/results.txt of the released code: 100 episodes of the released files.
        "released weights, the authors' log": PublishedRow(None, (973, 540)),
    },
    "world-models-carracing-weights": {
        # CarRacingExtension/README.md of google/brain-tokyo-workshop.
        "released weights, tested again by Tang et al.": PublishedRow(None, (901, 37)),
    },
    "world-models-carracing": {
        "DQN": PublishedRow(None, (343, 18)),
        "A3C, continuous": PublishedRow(None, (591, 45)),
        "A3C, discrete": PublishedRow(None, (652, 10)),
        "gym leaderboard": PublishedRow(None, (838, 11)),
    },
}
PUBLISHED: dict[str, dict[str, PublishedRow]] = {
    "world-models-doom": WORLD_MODELS_DOOM,
    "world-models-doom-weights": WORLD_MODELS_DOOM_WEIGHTS,
    "world-models-carracing": WORLD_MODELS_CARRACING,
    "world-models-carracing-weights": WORLD_MODELS_CARRACING_WEIGHTS,
    "dropouts-dream-land": CARRACING_IN_DREAMS,
}


def published_row(table: str | None, variant: str) -> PublishedRow | None:
    """The published row of a variant, if there is one."""
    return PUBLISHED.get(table or "", {}).get(variant)


def as_text(value: tuple[float, float] | None) -> str:
    """Mean ± standard deviation, or nothing."""
    return "" if value is None else f"{value[0]:g} ± {value[1]:g}"
