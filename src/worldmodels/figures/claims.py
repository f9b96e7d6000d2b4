"""What the reproduced papers claim, each with its place in the paper and with the test that our tables put it to.

The numbers come from `published.py`, so that none is typed twice. A paper without a table here is not built yet; its
claims are listed all the same, so that nobody takes silence for agreement.
"""

from typing import NamedTuple

from worldmodels.figures.judgement import Above, Beats, Cheats, Falls, SameScore, Test
from worldmodels.figures.published import CURVES, PUBLISHED, QUOTED, PublishedRow, as_text
from worldmodels.figures.simulator_judgement import (
    AgentPlays,
    BeatsCopy,
    ErrorFalls,
    GainsShrink,
    LowerError,
    SimulatorTest,
)
from worldmodels.figures.wording import WORDING


class Claim(NamedTuple):
    """One statement of a paper. test: None as long as nothing of ours can answer."""

    text: str
    paper: str  # what the paper reports
    where: str
    test: Test | SimulatorTest | None = None


class Paper(NamedTuple):
    """A paper, or the part of it that one kind of experiment tests. table: an experiment's `published`."""

    title: str
    table: str | None
    claims: tuple[Claim, ...]


def _value(row: PublishedRow) -> str:
    dream = f"dream {as_text(row.virtual)}, " if row.virtual else ""
    return f"{dream}real {as_text(row.actual)}"


def _rows(table: str, where: str) -> tuple[Claim, ...]:
    """Every row of a published table as a claim."""
    return tuple(
        Claim(f"score of `{variant}`", _value(row), where, SameScore(variant))
        for variant, row in PUBLISHED[table].items()
    )


def _real(table: str, *variants: str) -> str:
    return ", ".join(as_text(PUBLISHED[table][variant].actual) for variant in variants)


def _quoted(table: str, *names: str) -> str:
    return ", ".join(as_text(QUOTED[table][name].actual) for name in names)


RELEASED = "arXiv 2109.08342, released results"
DOOM, CARS, CAR_DREAMS = "world-models-doom", "world-models-carracing", "dropouts-dream-land"
TEMPERATURES = tuple(name for name in PUBLISHED[DOOM] if name != "random")
LEADERBOARD = QUOTED[DOOM]["gym leaderboard"].actual or (0.0, 0.0)
CAR_LEADERBOARD = QUOTED[CARS]["gym leaderboard"].actual or (0.0, 0.0)
OWN_CURVE = CURVES[CARS]["z-h"][0].points
TALLEC = "Tallec et al. 2019 (ReScience C): other data, 100 episodes"
DOOM_WEIGHTS, CAR_WEIGHTS = "world-models-doom-weights", "world-models-carracing-weights"
LOG, RETEST = "released weights, the authors' log", "released weights, tested again by Tang et al."

WORLD_MODELS_DOOM = Paper(
    "Ha & Schmidhuber 2018, World Models: Doom Take Cover",
    DOOM,
    (
        Claim(
            f"an agent that learned only inside its dream solves the real game: mean survival above "
            f"{WORDING['take_cover'].solved:.0f} tics",
            _real(DOOM, "tau-1.15"),
            "section 4, table 2",
            Above("tau-1.15", WORDING["take_cover"].solved),
        ),
        Claim(
            f"that agent survives longer than the best of the leaderboard, {LEADERBOARD[0]:g}",
            _real(DOOM, "tau-1.15"),
            "section 4, table 2",
            Above("tau-1.15", LEADERBOARD[0]),
        ),
        Claim(
            "what is learned in the dream helps in the real game: longer survival than the random policy",
            _real(DOOM, "tau-1.15", "random"),
            "section 4, table 2",
            Beats("tau-1.15", ("random",)),
        ),
        *(
            Claim(
                f"in a cold dream (`{name}`) C learns to cheat its world model: a high score in the dream, a real one "
                "no better than the random policy's",
                _value(PUBLISHED[DOOM][name]),
                "section 4, table 2",
                Cheats(name),
            )
            for name in ("tau-0.10", "tau-0.50")
        ),
        Claim(
            "a hotter dream is harder: the score in the dream falls with temperature",
            ", ".join(as_text(PUBLISHED[DOOM][name].virtual) for name in TEMPERATURES),
            "section 4, table 2",
            Falls(TEMPERATURES),
        ),
        Claim(
            "a temperature of 1.15 transfers best of the five",
            _real(DOOM, *TEMPERATURES),
            "section 4, table 2",
            Beats("tau-1.15", tuple(name for name in TEMPERATURES if name != "tau-1.15")),
        ),
        *_rows(DOOM, "table 2"),
    ),
)
WORLD_MODELS_CARS = Paper(
    "Ha & Schmidhuber 2018, World Models: CarRacing",
    CARS,
    (
        Claim(
            f"a linear controller of z and h solves the task: mean above {WORDING['car_racing'].solved:.0f}",
            _real(CARS, "z-h"),
            "section 3, table 1",
            Above("z-h", WORDING["car_racing"].solved),
        ),
        Claim(
            f"that driver beats the best of the leaderboard, {CAR_LEADERBOARD[0]:g}, and with it the deep reinforcement "
            f"learning of the same table, {_quoted(CARS, 'A3C, discrete', 'A3C, continuous', 'DQN')}",
            _real(CARS, "z-h"),
            "section 3, table 1",
            Above("z-h", CAR_LEADERBOARD[0]),
        ),
        Claim(
            "more episodes say the same: the mean of 1,024 is above 900, too",
            f"{OWN_CURVE[max(OWN_CURVE)]:g} at generation {max(OWN_CURVE):,}",
            "appendix A.4",
            Above("z-h", WORDING["car_racing"].solved),
        ),
        Claim(
            "most of the score comes early in evolution (figure `evolution` shows ours beside it)",
            ", ".join(f"{score:g} at generation {generation:,}" for generation, score in OWN_CURVE.items()),
            "released logs",
        ),
        Claim(
            "M's memory helps: z and h drive better than z alone",
            _real(CARS, "z-h", "z-only"),
            "section 3, table 1",
            Beats("z-h", ("z-only",)),
        ),
        Claim(
            "a hidden layer on z alone helps",
            _real(CARS, "z-hidden", "z-only"),
            "section 3, table 1",
            Beats("z-hidden", ("z-only",)),
        ),
        Claim(
            "a hidden layer does not replace M's memory",
            _real(CARS, "z-h", "z-hidden"),
            "section 3, table 1",
            Beats("z-h", ("z-hidden",)),
        ),
        Claim(
            "an M of fresh weights drives almost as well; tested here as better than z alone with a hidden layer",
            "trained 895 ± 79, untrained 866 ± 69",
            TALLEC,
            Beats("z-h-untrained-m", ("z-hidden",)),
        ),
        Claim("a trained M drives better than that", "895 ± 79, 866 ± 69", TALLEC, Beats("z-h", ("z-h-untrained-m",))),
        Claim(
            "a V of fresh weights does not do",
            "131 ± 66",
            TALLEC,
            Beats("z-h-untrained-m", ("z-h-untrained",)),
        ),
        *_rows(CARS, "table 1"),
    ),
)
RELEASED_WEIGHTS = (
    Paper(
        "Ha & Schmidhuber 2018, the released weights: Doom Take Cover",
        DOOM_WEIGHTS,
        (
            Claim(
                "the released agent survives longer than the random policy; the authors' own log of these weights says "
                f"{_quoted(DOOM_WEIGHTS, LOG)}",
                _real(DOOM_WEIGHTS, "published", "random"),
                "table 2",
                Beats("published", ("random",)),
            ),
            *_rows(DOOM_WEIGHTS, "table 2"),
        ),
    ),
    Paper(
        "Ha & Schmidhuber 2018, the released weights: CarRacing",
        CAR_WEIGHTS,
        (
            Claim(
                "the released agent solves the task: mean above 900; others measured "
                f"{_quoted(CAR_WEIGHTS, RETEST)} with these weights",
                _real(CAR_WEIGHTS, "published"),
                "table 1",
                Above("published", WORDING["car_racing"].solved),
            ),
            *_rows(CAR_WEIGHTS, "table 1"),
        ),
    ),
)
DREAM_LAND = Paper(
    "Wellmer & Kwok 2021, Dropout's Dream Land: CarRacing learned in the dream",
    CAR_DREAMS,
    (
        Claim(
            "dropout in M's dreams makes controllers transfer better",
            _real(CAR_DREAMS, "dream-dropout", "dream"),
            RELEASED,
            Beats("dream-dropout", ("dream",)),
        ),
        Claim(
            "where M learned with dropout and dreams without, C cheats it: a high score in the dream, a real one no better "
            "than the random policy's (row `dream` here; the paper's 400 ± 135 below is of an M that learned without)",
            "dream 1585, real -36",
            RELEASED,
            Cheats("dream"),
        ),
        *_rows(CAR_DREAMS, RELEASED),
    ),
)
ORDER, FIGURE = "an order of curves", "a figure without numbers"
UNREAD = "experiments (told second-hand; to be checked against the paper)"
MORE_PREDICTED = ("pdt-0", "pdt-33", "pdt-46", "pdt-67", "pdt-100")
BASELINE = "pdt-0-100"
SECTION = "section 3.1"
MIXED_GAMES = ("breakout", "ms-pacman", "qbert", "space-invaders")
PREDICTED_GAMES = ("bowling", "fishing-derby", "freeway", "pong", "riverraid", "seaquest")
RES = Paper(
    "Chiappa et al. 2017, Recurrent Environment Simulators",
    "recurrent-environment-simulators",
    (
        Claim(
            "error 100 steps ahead falls with more consecutive prediction-dependent steps in training",
            ORDER,
            SECTION,
            ErrorFalls(MORE_PREDICTED, (100,)),
        ),
        Claim(
            "error 5 and 10 steps ahead rises with them",
            ORDER,
            SECTION,
            ErrorFalls(MORE_PREDICTED[::-1], (5, 10)),
        ),
        Claim(
            "the ends of that order: training on predictions alone has the lower error 100 steps ahead",
            ORDER,
            SECTION,
            LowerError(BASELINE, "pdt-0", 100),
        ),
        Claim(
            "and training on real frames alone the lower error 5 steps ahead",
            ORDER,
            SECTION,
            LowerError("pdt-0", BASELINE, 5),
        ),
        Claim(
            "predictions alone from the 1,000th update on have a lower error 100 steps ahead than 67 % of them",
            ORDER,
            SECTION,
            LowerError(BASELINE, "pdt-67", 100),
        ),
        *(
            Claim(
                f"`{scheme}`, with few predictions in a row, lies between 33 % of them and none, 100 steps ahead",
                ORDER,
                SECTION,
                ErrorFalls(("pdt-0", scheme, "pdt-33"), (100,)),
            )
            for scheme in ("pdt-0-20-33", "pdt-46-alternating", "oh-phases")
        ),
        Claim(
            "consecutive prediction-dependent steps do more for the long term than as many alternating ones",
            ORDER,
            SECTION,
            LowerError("pdt-46", "pdt-46-alternating", 100),
        ),
        Claim(
            "in Breakout, Ms Pacman, Qbert and Space Invaders real and predicted frames mixed are better than predictions alone; "
            "tested here on the error of `pdt-67` 10 steps ahead",
            ORDER,
            SECTION,
            LowerError("pdt-67", "pdt-100", 10, MIXED_GAMES),
        ),
        Claim(
            "in Bowling, Fishing Derby, Freeway, Pong, Riverraid and Seaquest predictions alone do well; tested here against "
            "`pdt-67` 100 steps ahead",
            ORDER,
            SECTION,
            LowerError("pdt-100", "pdt-67", 100, PREDICTED_GAMES),
        ),
        Claim("Breakout: the lowest error goes to simulators that lose the ball", "films", SECTION),
        Claim(
            "simulators trained on predictions alone are more fragile with actions of another policy", "films", SECTION
        ),
        Claim(
            "longer training sequences help: 10 to 15 frames more than 15 to 20",
            ORDER,
            SECTION,
            GainsShrink(("sequences-of-10", BASELINE, "sequences-of-20"), 100),
        ),
        Claim(
            "a second subsequence, BPTT(15, 2), helps 100 steps ahead",
            ORDER,
            SECTION,
            LowerError("bptt-15-2", "pdt-100", 100),
        ),
        Claim(
            "dramatically so in Riverraid; tested here is that it helps there at all",
            ORDER,
            SECTION,
            LowerError("bptt-15-2", "pdt-100", 100, ("riverraid",)),
        ),
        Claim(
            "five subsequences, BPTT(15, 5), cost accuracy 5 steps ahead",
            ORDER,
            SECTION,
            LowerError("pdt-100", "bptt-15-5", 5),
        ),
        Claim(
            "actions as planes on the frame do considerably worse than in the transition",
            ORDER,
            "appendix B.1.3",
            LowerError(BASELINE, "action-planes", 100),
        ),
        Claim(
            "an action-dependent transition predicts the harder games better than Oh et al.'s; tested here on whole networks, "
            "`res` and `acvp-recurrent`, 100 steps ahead",
            ORDER,
            "figure 45",
            LowerError("res", "acvp-recurrent", 100),
        ),
        Claim(
            "the simulator predicts substantially better than Oh et al.'s over all; tested here 5, 10 and 100 steps ahead",
            ORDER,
            "first draft, figure 5(a)",
            ErrorFalls(("acvp-recurrent", "res"), (5, 10, 100)),
        ),
        Claim(
            "prediction-independent: one subsequence of 15 frames is much worse than two",
            ORDER,
            "section 4",
            LowerError("independent", "independent-of-15", 100),
        ),
        Claim(
            "prediction-independent: nothing in the frame's place, z = 0, is poor in the long term",
            ORDER,
            "appendix C",
            LowerError("independent", "independent-z-0", 100),
        ),
        Claim(
            "but with h and a gate for z of 2816 units it is the best",
            ORDER,
            "appendix C",
            LowerError("independent-zero", "independent", 100),
        ),
        Claim(
            "a simulator that draws no frame between its steps (prediction-independent) works: tested here as an error "
            "below that of copying the last frame, 1 step ahead too, where a still background is not enough",
            FIGURE,
            "section 4",
            BeatsCopy("independent", (1, 10, 100)),
        ),
    ),
)
AHEAD = 50
"""Steps ahead at which the stages of the curriculum are compared: half of the paper's horizon."""
OH = Paper(
    "Oh et al. 2015, Action-Conditional Video Prediction",
    "action-conditional-video-prediction",
    (
        Claim(
            "convolutional networks with factored actions predict 100 steps of five Atari games; tested here as an error "
            "below that of copying the last frame",
            FIGURE,
            UNREAD,
            BeatsCopy("acvp-feed-forward", (1, 10, 100)),
        ),
        Claim("so does the recurrent one", FIGURE, UNREAD, BeatsCopy("acvp-recurrent", (1, 10, 100))),
        Claim(
            "it predicts better than a network that knows no actions; tested here after the same stages, without rewards",
            ORDER,
            UNREAD,
            LowerError("acvp-feed-forward.5-step", "acvp-no-action", 100),
        ),
        Claim(
            "and better than one without convolutions",
            ORDER,
            UNREAD,
            LowerError("acvp-feed-forward.5-step", "acvp-perceptron", 100),
        ),
        Claim(
            "the network that knows no actions does not beat copying the last frame; tested here 100 steps ahead",
            FIGURE,
            UNREAD,
            LowerError("copy-last", "acvp-no-action", 100),
        ),
        *(
            Claim(
                f"3-step training is almost enough; tested here on `{network}`: {AHEAD} steps ahead, training on predictions of 3 "
                "steps after 1 gains more than training on 5 after 3",
                "a remark",
                "README of the released code",
                GainsShrink((f"{network}.1-step", f"{network}.3-step", f"{network}.5-step"), AHEAD),
            )
            for network in ("acvp-feed-forward", "acvp-recurrent")
        ),
        Claim("actions that do not move the player have alike factors (figure `actions` shows ours)", FIGURE, UNREAD),
        Claim(
            "the open re-implementation predicts worse than the paper's network",
            "a remark",
            "README of loliverhennigh/Compressing-Dynamical-Systems-Atari",
            LowerError("acvp-recurrent", "acvp-paper", 100),
        ),
        Claim(
            "an agent still plays when its frames are predictions several steps old (the paper: DQN); tested here as a score "
            "above that of uniform actions with a real frame every 5 steps, on the feed-forward network",
            FIGURE,
            UNREAD,
            AgentPlays("acvp-feed-forward", 5),
        ),
        Claim("so does it on the recurrent network", FIGURE, UNREAD, AgentPlays("acvp-recurrent", 5)),
        Claim(
            "the predictions are of use to it: it scores more than where it sees the last real frame for as long (a control of ours)",
            "not asked",
            "ours",
            AgentPlays("acvp-feed-forward", 5, control="copy-last"),
        ),
        Claim("exploration informed by predictions improves DQN in some games", "table 1", UNREAD),
    ),
)
REIMPLEMENTATION = Paper(
    "Compressing-Dynamical-Systems-Atari, an open re-implementation of Oh et al. 2015",
    "compressing-dynamical-systems-atari",
    tuple(
        Claim(
            f"{claim}; tested here 10 steps ahead in the games of an agent, on `{network}`",
            "a remark",
            "its README",
            LowerError(network, f"{network}-random", 10),
        )
        for claim, network in (
            ("its predictions are poor because it learned from random play, and too little of it", "acvp-paper"),
            ("so should those of another network be", "acvp-feed-forward"),
        )
    ),
)
BUESING = Paper(
    "Buesing et al. 2018, Learning and Querying Fast Generative Models",
    None,
    (
        Claim("Ms Pacman: a stochastic state-space model gains likelihood over a VAE", "sSSM 4.3 ± 0.3", "table 1"),
        Claim("it gains as much as a recurrent autoregressive model", "RAR 4.3 ± 0.5", "table 1"),
        Claim("a deterministic one gains less", "dSSM-DET 0.4 ± 0.3", "table 1"),
        Claim("state-space models imagine faster than autoregressive ones", "5.2 times", "table 1"),
        Claim("jumpy models imagine faster still", "13.6 times", "table 1"),
    ),
)
I2A = Paper(
    "Weber et al. 2017 and Buesing et al. 2018, imagination-augmented agents (I2A) on Ms Pacman",
    None,
    (
        Claim("I2A on a state-space model scores above a model-free agent", ORDER, "Buesing, figure 3"),
        Claim("roll-outs that the agent learns to query beat distilled ones", ORDER, "Buesing, figure 3"),
        Claim("a model of latent states beats one of pixels", ORDER, "Buesing, figure 3"),
        Claim("part of the gain is architecture: a copy model beats a model-free agent", ORDER, "Buesing, figure 3"),
    ),
)
PAPERS = (WORLD_MODELS_DOOM, WORLD_MODELS_CARS, *RELEASED_WEIGHTS, DREAM_LAND, RES, OH, REIMPLEMENTATION, BUESING, I2A)
