"""CMA-ES: it climbs, and a search that was stopped ends where an undisturbed one does."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from worldmodels import evolution
from worldmodels.config.training import EvolutionOptions
from worldmodels.evolution import evolve
from worldmodels.runtime.shorter_runs import ShorterRun
from worldmodels.runtime.stop import Interrupted
from worldmodels.scores import Scores

OPTIONS = EvolutionOptions(population=8, rollouts=2, generations=12, sigma0=0.5, evaluate_every=5, validation_every=4)
GOAL = np.linspace(-1, 1, 6)


def quality(weights):
    return 100 - np.square(np.asarray(weights) - GOAL).sum(axis=-1)


def run(state, stop_at=None, validate=None, scored=None, one_evaluation=False, **changes):
    """An evolution of OPTIONS with `changes`. scored: takes the generations that are scored."""
    options = OPTIONS.model_copy(update=changes)

    def score(population, generation):
        if scored is not None:
            scored.append(generation)
        if generation == stop_at:
            state.stop.reason = "test"
        return Scores(np.repeat(quality(population)[:, None], 2, axis=1), 10)

    def evaluate(mean, generation):
        return Scores(np.array([quality(mean), quality(mean) + 1])[: 1 if one_evaluation else 2], 1)

    shorter = ShorterRun(state, {"config": {"evolution": options.model_dump()}}, "evolution.generations")
    return evolve(6, score, evaluate, validate, options, ("test", 1), state, shorter)


def test_it_maximises(state):
    """pycma minimises; with the sign wrong, agents would be bred to die."""
    evolution = run(state)
    assert quality(evolution.mean()) > quality(np.zeros(6)) + 0.5
    assert evolution.history[-1]["mean"] > evolution.history[0]["mean"]


def test_stopped_and_resumed_equals_undisturbed(state):
    """pycma's random numbers and covariance must be restored: restarting from the best point would lose both."""
    expected = run(state)
    for file in state.path.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(Interrupted):
        run(state, stop_at=5)
    state.stop.reason = None
    resumed = run(state)
    assert np.array_equal(resumed.mean(), expected.mean())
    assert resumed.history == expected.history


def test_more_generations_go_on_and_equal_a_search_that_was_never_shorter(state):
    """7 is no generation of an evaluation: that of the shorter search's end must not stay in the longer one's history."""
    expected = run(state)
    shutil.rmtree(state.path.parent / "shorter")
    short, longer = [], []
    assert len(run(state, scored=short, generations=7).history) == 7
    assert not list(state.path.glob("*.safetensors"))
    lengthened = run(state, scored=longer)
    assert state.heart.facts["earlier_processes"] == 1 and state.heart.facts["earlier_seconds"] > 0
    assert (short, longer) == (list(range(7)), list(range(6, 12)))
    assert lengthened.history == expected.history and np.array_equal(lengthened.mean(), expected.mean())


def test_another_search_and_fewer_generations_begin_anew(state):
    run(state)
    for changes in ({"generations": 7}, {"sigma0": 0.4}):
        scored = []
        run(state, scored=scored, **changes)
        assert scored[0] == 0
    assert len(list((state.path.parent / "shorter").iterdir())) == 1, "what another search left is of no use"


def test_a_damaged_shorter_search_is_not_gone_on_with(state):
    run(state, generations=7)
    (kept,) = (state.path.parent / "shorter").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    scored = []
    run(state, scored=scored)
    assert scored[0] == 0


def test_search_of_another_version_of_its_library_begins_anew(state, monkeypatch, caplog):
    """Its pickle may be unreadable, or mix two versions' rules in one result."""
    run(state, generations=7)
    monkeypatch.setattr(evolution.cma, "__version__", "3.0.0")
    scored = []
    run(state, scored=scored)
    assert scored[0] == 0 and "begun anew" in caplog.text


def test_one_evaluation_has_no_spread(state):
    history = run(state, one_evaluation=True).history
    assert [row["evaluation_sd"] for row in history] == [None] * len(history)
    assert history[-1]["evaluation"] is not None


def test_evaluations_come_when_asked_for_and_at_the_end(state):
    evaluated = [row["generation"] for row in run(state).history if row["evaluation"] is not None]
    assert evaluated == [5, 10, 12]


def test_steps_of_every_episode_are_counted(state):
    """The table states the budget: 12 generations of 10 steps, and 3 evaluations of 1."""
    assert run(state).history[-1]["steps"] == 12 * 10 + 3


def test_validation_keeps_the_mean_with_the_best_real_score(state):
    """Dream and real score disagree here on purpose: the real game prefers generation 8."""
    scores = {4: 1.0, 8: 9.0, 12: 2.0}
    evolution = run(state, validate=lambda mean, generation: Scores(np.array([scores[generation]]), 1))
    chosen = evolution.selected("validation")
    assert (chosen.generation, chosen.score) == (8, 9.0)
    assert evolution.selected("mean").generation == 12
    assert evolution.selected("best").score == max(row["best"] for row in evolution.history)


def test_evolution_does_not_depend_on_the_number_of_cores():
    """CMA-ES decomposes a covariance of Doom's 1,088 weights in numpy, where Snakemake says how many threads a job has."""
    program = (
        "from worldmodels.__main__ import main; main(['--help']); import numpy, hashlib;"
        "matrix = numpy.random.default_rng(0).standard_normal((1088, 1088));"
        "print(hashlib.sha256(numpy.linalg.eigh(matrix @ matrix.T)[1].tobytes()).hexdigest())"
    )
    digests = []
    for threads in ("1", "2"):
        told = {**os.environ, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", program], env=told, capture_output=True, text=True, check=True)
        digests.append(done.stdout.splitlines()[-1])
    assert digests[0] == digests[1]
