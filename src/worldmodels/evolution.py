"""CMA-ES over batched rollouts, resumable at any generation (paper, appendix A.4; pycma does the search).

Fitness is the mean return of a controller's rollouts, maximised: pycma minimises, so it is told the negative.
"""

import logging
import pickle
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cma
import numpy as np
import torch

from worldmodels.config.training import EvolutionOptions
from worldmodels.errors import UserError
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.shorter_runs import ShorterRun
from worldmodels.runtime.state import StateFolder
from worldmodels.scores import Scores
from worldmodels.seeds import generator, integer_seed

log = logging.getLogger(__name__)


ScorePopulation = Callable[[np.ndarray, int], Scores]
"""(weights (P, D), generation) -> returns (P, R)."""
ScoreController = Callable[[np.ndarray, int], Scores]
"""(weights (D,), generation) -> returns (n,)."""

HISTORY_COLUMNS = (
    *("generation", "best", "mean", "worst", "sigma", "evaluation", "evaluation_sd"),
    *("validation", "steps"),
)
SHOWN_COLUMNS = ("best", "mean", "worst", "sigma", "evaluation", "validation")
"""Of the history, what the progress line and TensorBoard show."""


class NormalStream:
    """Standard normal numbers for pycma, pickled with it, so that a resumed search draws what it would have drawn."""

    def __init__(self, *words: str | int) -> None:
        self.generator = generator(*words)

    def __call__(self, *shape: int) -> np.ndarray:
        """Draw an array of `shape`."""
        return self.generator.standard_normal(shape)


@dataclass
class Candidate:
    """A controller and the score that it was chosen by."""

    weights: np.ndarray  # (D,)
    score: float
    generation: int


@dataclass
class Evolution:
    """A search in progress: pycma's state, the history so far, and the candidates of each kind of selection."""

    search: cma.CMAEvolutionStrategy
    generation: int = 0
    history: list[dict[str, float | None]] = field(default_factory=list)
    best: Candidate | None = None
    validated: Candidate | None = None
    steps: int = 0  # of episodes that candidates and the mean were scored by
    validation_steps: int = 0  # of the real game, for selection

    def mean(self) -> np.ndarray:
        """The mean of CMA's distribution, (D,)."""
        return np.asarray(self.search.mean, dtype=np.float64)

    def selected(self, selection: str) -> Candidate:
        """The controller that `selection` keeps: mean, best or validation."""
        if selection == "mean":
            # The mean itself is scored at the last generation, apart from the candidates around it.
            return Candidate(self.mean(), float(self.history[-1]["evaluation"] or 0), self.generation)
        chosen = self.best if selection == "best" else self.validated
        assert chosen is not None, "generations >= 1, and the last one is always validated"
        return chosen


def start(size: int, options: EvolutionOptions, seed_words: tuple[str | int, ...]) -> Evolution:
    """Begin a search for `size` weights at zero."""
    settings = {
        "popsize": options.population,
        "seed": integer_seed(*seed_words, "cma") % (2**32 - 2) + 1,  # 0 would mean the clock
        "randn": NormalStream(*seed_words, "cma"),
        "CMA_diagonal": options.diagonal,
        "verbose": -9,
    }
    return Evolution(cma.CMAEvolutionStrategy(np.zeros(size), options.sigma0, settings))


def evolve(
    size: int,
    score: ScorePopulation,
    evaluate: ScoreController,
    validate: ScoreController | None,
    options: EvolutionOptions,
    seed_words: tuple[str | int, ...],
    state: StateFolder,
    shorter: ShorterRun,
) -> Evolution:
    """Run `options.generations` generations, going on from the newest checkpoint in `state`, or from a shorter search.

    score: a population's episodes, in the dream or in the real environment. evaluate: those of one controller, every
    `evaluate_every` generations and at the end. validate: returns of one controller on real validation episodes, or None.
    """
    evolution = _resumed(state) or _lengthened(shorter, options) or start(size, options, seed_words)
    with Progress("evolve", options.generations, "generations", state, evolution.generation) as progress:
        while evolution.generation < options.generations:
            if evolution.generation == options.generations - 1:
                tensors, meta = _content(evolution)
                shorter.save(tensors, {**meta, "of": options.generations})
            row = _generation(evolution, score, evaluate, validate, options)
            progress.advance(1, **{name: row[name] for name in SHOWN_COLUMNS if row[name] is not None})
            if state.due and evolution.generation < options.generations:
                state.save(*_content(evolution))
                state.leave_if_stopped()
    return evolution


def _generation(
    evolution: Evolution,
    score: ScorePopulation,
    evaluate: ScoreController,
    validate: ScoreController | None,
    options: EvolutionOptions,
) -> dict[str, float | None]:
    number = evolution.generation
    population = np.asarray(evolution.search.ask())  # (P, D)
    scores = score(population, number)
    fitness = scores.returns.mean(axis=1)  # (P,)
    if not np.isfinite(fitness).all():
        raise UserError(
            f"an episode of generation {number} returned a value that is not finite. M has diverged: train it again with "
            "a lower mdn_rnn.learning_rate."
        )
    evolution.search.tell(list(population), list(-fitness))
    evolution.steps += scores.steps
    champion = int(fitness.argmax())
    if evolution.best is None or fitness[champion] > evolution.best.score:
        evolution.best = Candidate(population[champion], float(fitness[champion]), number)
    evolution.generation += 1
    row: dict[str, float | None] = dict.fromkeys(HISTORY_COLUMNS)
    row |= {"generation": evolution.generation, "sigma": float(evolution.search.sigma)}
    row |= {"best": float(fitness.max()), "mean": float(fitness.mean()), "worst": float(fitness.min())}
    _score_mean(evolution, row, evaluate, validate, options)
    row["steps"] = evolution.steps
    evolution.history.append(row)
    return row


def _score_mean(
    evolution: Evolution,
    row: dict[str, float | None],
    evaluate: ScoreController,
    validate: ScoreController | None,
    options: EvolutionOptions,
) -> None:
    """Score the distribution's mean in the dream and, where selection wants it, in the real game."""
    last = evolution.generation == options.generations
    if last or evolution.generation % options.evaluate_every == 0:
        returns, steps = evaluate(evolution.mean(), evolution.generation)
        evolution.steps += steps
        row["evaluation"] = float(returns.mean())
        row["evaluation_sd"] = float(returns.std(ddof=1)) if len(returns) > 1 else None
    if validate is not None and (last or evolution.generation % options.validation_every == 0):
        returns, steps = validate(evolution.mean(), evolution.generation)
        evolution.validation_steps += steps
        real = float(returns.mean())
        row["validation"] = real
        if evolution.validated is None or real > evolution.validated.score:
            evolution.validated = Candidate(evolution.mean(), real, evolution.generation)


def _content(evolution: Evolution) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The whole search. pycma's state is a pickle, which is why it never leaves `.state/`."""
    content = np.frombuffer(pickle.dumps(evolution), dtype=np.uint8)
    meta = {"generation": evolution.generation, "libraries": _libraries()}
    return {"evolution": torch.from_numpy(content.copy())}, meta


def _libraries() -> dict[str, str]:
    """Versions of what is in the pickle: another version's is not what an undisturbed search would have."""
    return {"cma": cma.__version__, "numpy": np.__version__, "python": platform.python_version()}


def _restored(tensors: dict[str, Any], meta: dict[str, Any]) -> Evolution | None:
    """The search of a checkpoint; None, with a warning, where other versions of its libraries made it."""
    if meta["libraries"] != _libraries():
        log.warning("a checkpoint was made with %s, and this is %s: begun anew", meta["libraries"], _libraries())
        return None
    return pickle.loads(tensors["evolution"].numpy().tobytes())


def _resumed(state: StateFolder) -> Evolution | None:
    found = state.load()
    return _restored(*found) if found is not None else None


def _lengthened(shorter: ShorterRun, options: EvolutionOptions) -> Evolution | None:
    """The search that a run of fewer generations left, to go on with."""
    found = shorter.load()
    if found is None or found[1]["of"] >= options.generations:
        return None
    evolution = _restored(*found)
    if evolution is not None:
        shorter.go_on(found[1])
        log.info("an earlier search of these options goes on from generation %d", evolution.generation)
    return evolution
