"""Data sets that an agent plays: it sees what it will be shown again, chance disturbs it, and M remembers what was done."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml

from worldmodels.agent_policy import DisturbedAgent, agent_player
from worldmodels.benchmarks.driving import fresh_world_model
from worldmodels.config import dag, jobs
from worldmodels.config.datasets import AgentPolicy, RandomControllerPolicy, ShardOptions
from worldmodels.config.job import AGENT_POLICY
from worldmodels.config.load import load_config
from worldmodels.config.models import ControllerOptions
from worldmodels.config.tasks import CarRacingOptions, TakeCoverOptions
from worldmodels.data.collection import collect_shard, shard_seed
from worldmodels.envs.games import make_games
from worldmodels.errors import UserError
from worldmodels.evaluation import DreamerAgent, play_episodes
from worldmodels.models.controller import controller_size
from worldmodels.models.files import Controller
from worldmodels.runtime.stop import Interrupted
from worldmodels.stages.collect_rollouts import CollectRollouts

STEPS = 40
CONTROLLER = ControllerOptions(inputs="z-h", bias=True, actions="steer-gas-brake")
CONFIG = Path(__file__).parents[2] / "config.yaml"


@pytest.fixture(scope="module")
def agent():
    weights = np.random.default_rng(1).normal(size=controller_size(CONTROLLER, 32, 256, 3))
    return fresh_world_model(), Controller(weights, CONTROLLER)


def shard_options(**policy):
    return ShardOptions(
        task=CarRacingOptions(max_steps=STEPS),
        policy=AgentPolicy(experiment="any", variant="any", **{"random_policy": RandomControllerPolicy(), **policy}),
        episodes_per_shard=3,
        shortest_episode=2,
        seed=0,
    )


def collected(path, options, agent, state):
    collect_shard(path, 0, options, state, agent_player(options.policy, *agent, options.task))
    for file in state.path.glob("*.safetensors"):
        file.unlink()
    with h5py.File(path) as shard:
        return {name: shard[name][:] for name in ("actions", "rewards", "episode_offsets", "seeds")}


@pytest.mark.parametrize("latent", ["sample", "mean"])
def test_undisturbed_agent_is_the_one_that_is_scored(agent, state, tmp_path, latent):
    """Same seeds, same rewards as in evaluation: frames, memory and actions are aligned as there."""
    options = shard_options(latent=latent)
    found = collected(tmp_path / "000.h5", options, agent, state)
    seeds = [shard_seed(options, 0, attempt) for attempt in range(3)]
    assert found["seeds"].tolist() == seeds
    with make_games(options.task, 1, 1) as games:
        outcomes = play_episodes(games, DreamerAgent(*agent, 1, STEPS, latent), seeds, title=None)
    starts = found["episode_offsets"][:-1]
    np.testing.assert_allclose(np.add.reduceat(found["rewards"], starts), [one.total for one in outcomes], rtol=1e-4)


@pytest.mark.parametrize("policy", [{"epsilon": 0.3}, {"random_episodes": 1.0}])
def test_chance_disturbs_it(agent, state, tmp_path, policy):
    calm = collected(tmp_path / "calm.h5", shard_options(), agent, state)["actions"][:STEPS]
    other = collected(tmp_path / "other.h5", shard_options(**policy), agent, state)["actions"][:STEPS]
    assert not np.array_equal(calm, other)


def test_disturbing_actions_are_held(agent, state, tmp_path):
    """With epsilon 1 the agent never acts: its actions change less often than every step, and are within the car's bounds."""
    actions = collected(tmp_path / "000.h5", shard_options(epsilon=1.0, longest_hold=10), agent, state)["actions"]
    held = (actions[1:STEPS] == actions[: STEPS - 1]).all(axis=1)
    assert 0.5 < held.mean() < 1
    assert (actions >= [-1, 0, 0]).all() and (actions <= 1).all()


def test_memory_consumes_what_was_done(agent):
    world_model, controller = agent
    frames, alone = np.zeros((1, 64, 64, 3), np.uint8), np.ones(1, bool)
    states = []
    for instead in (None, np.array([1, 0, 1], np.float32), np.array([1, 0, 1], np.float32)):
        disturbed = DisturbedAgent(world_model, controller, 1, STEPS, "sample")
        disturbed.reset(0, 0, 5)
        disturbed.instead = instead
        taken = disturbed.act(frames, alone)[0]
        assert instead is None or np.array_equal(taken, instead)
        states.append(disturbed.state.hidden.clone())
    assert torch.equal(states[1], states[2]) and not torch.equal(states[0], states[1])


def test_killed_collection_goes_on_with_the_same_bytes(agent, state, tmp_path):
    options = shard_options(epsilon=0.1, random_episodes=0.5)
    collected(tmp_path / "undisturbed.h5", options, agent, state)
    play = agent_player(options.policy, *agent, options.task)
    begun = []

    def stop_after_one(game, seed):
        begun.append(seed)
        state.stop.reason = "test" if len(begun) == 2 else None
        return play(game, seed)

    with pytest.raises(Interrupted):
        collect_shard(tmp_path / "resumed.h5", 0, options, state, stop_after_one)
    state.stop.reason = None
    again = agent_player(options.policy, *agent, options.task)
    collect_shard(tmp_path / "resumed.h5", 0, options, state, again)
    assert (tmp_path / "resumed.h5").read_bytes() == (tmp_path / "undisturbed.h5").read_bytes()


def test_agent_without_its_files_is_one_sentence(tmp_path):
    options = shard_options()
    stage = CollectRollouts(config=options.canonical_json(), output=tmp_path / "000.h5", shard=0)
    with pytest.raises(UserError, match="an evolved agent is three files: name --vae, --mdn-rnn and --controller"):
        stage._player(options)


def test_agents_of_published_weights_need_no_training():
    raw = yaml.safe_load(CONFIG.read_text())
    agent = {"name": "agent", "experiment": "carracing-published", "variant": "published"}
    raw["datasets"]["carracing-agent"]["policy"] = {**agent, "random_policy": {"name": "uniform"}}
    raw["datasets"]["carracing-agent"]["task"]["preprocessing"] = "released"
    made = jobs.experiment_jobs(load_config(raw), "carracing-dream-agent")
    assert {job.stage for job in made if job.owner == "carracing-published"} == {"import_published_weights"}
    assert not any(job.owner == "carracing-released-frames" for job in made)


def test_agents_episodes_may_be_long():
    blind = shard_options().model_copy(update={"policy": RandomControllerPolicy()})
    longest = CarRacingOptions(max_steps=1000)
    assert (
        shard_options().model_copy(update={"task": longest}).stored_bytes
        == 3 * 1000 * CarRacingOptions.stored_frame_bytes
    )
    doom = TakeCoverOptions()
    agent, blind = (one.model_copy(update={"task": doom}).stored_bytes for one in (shard_options(), blind))
    assert agent > 3 * blind


def test_its_files_are_inputs_and_its_code_counts_only_there():
    config = load_config(CONFIG)
    made = {path: job for job in jobs.experiment_jobs(config, "carracing-laptop-dream-agent") for path in job.outputs}
    shard = made["results/data/carracing-agent-laptop/000.h5"]
    assert shard.inputs == tuple(dag.policy_files(config, config.datasets["carracing-agent-laptop"]).values())
    assert all(path in made for path in shard.inputs), "status must know who makes the agent"
    assert AGENT_POLICY in shard.modules
    blind = next(job for job in jobs.experiment_jobs(config, "carracing-laptop") if job.stage == "collect_rollouts")
    assert blind.inputs == () and AGENT_POLICY not in blind.modules
