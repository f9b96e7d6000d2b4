"""Atari data sets in config.yaml: the papers' scale, names, and errors that name the key."""

from pathlib import Path

import pytest

from worldmodels.config import atari_blocks
from worldmodels.config.atari import RANDOM
from worldmodels.config.load import load_config, read_yaml
from worldmodels.errors import UserError

CONFIG_FILE = Path(__file__).parents[2] / "config.yaml"


@pytest.fixture
def raw():
    return read_yaml(CONFIG_FILE)


@pytest.mark.parametrize(
    ("entry", "games", "train", "test", "epsilon"),
    [
        ("atari-res", 10, 5_000_000, 1_000_000, 0.2),
        ("atari-acvp", 5, 500_000, 50_000, 0.3),
        ("atari-ssm", 4, 100_000_000, 10_000_000, 0.05),
    ],
)
def test_paper_data_have_the_papers_numbers(entry, games, train, test, epsilon):
    options = load_config(CONFIG_FILE).atari_datasets[entry]
    assert len(options.games) == games and options.epsilon == epsilon and options.agent == "dqn"
    assert options.shards * options.frames_per_shard == train
    assert options.test_shards * options.frames_per_shard == test
    rules = options.rules
    assert (rules.actions, rules.frame_repeat, rules.life_loss_ends, rules.fire_on_reset) == ("full", 4, False, False)


def test_entry_makes_a_data_set_of_each_game():
    config = load_config(CONFIG_FILE)
    names = [name for name, _, _ in atari_blocks.atari_datasets(config)]
    assert len(set(names)) == len(names) and "atari-res-ms-pacman" in names
    assert atari_blocks.atari_dataset(config, "atari-res-ms-pacman")[1] == "ms_pacman"
    train, test = (atari_blocks.atari_shards(config, "atari-res-pong", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (50, 10) and not set(train) & set(test)
    assert train[3] == "results/data/atari-res-pong/train-003.h5"
    with pytest.raises(UserError, match="Did you mean 'atari-res-pong'"):
        atari_blocks.atari_dataset(config, "atari-res-pongg")


def test_agent_is_trained_by_the_workflow_or_named_by_file(raw):
    raw["atari_datasets"]["mine"] = {"games": ["pong"], "agent": "mine/agent.safetensors"}
    config = load_config(raw)
    assert atari_blocks.agent_file(config, "atari-res-ms-pacman") == "results/agents/dqn/ms-pacman/agent.safetensors"
    assert atari_blocks.agent_file(config, "atari-smoke-pong") is None
    assert config.atari_datasets["atari-smoke"].agent == RANDOM
    assert atari_blocks.agent_file(config, "mine-pong") == "mine/agent.safetensors"
    assert atari_blocks.train_agent_block(config, "dqn", "ms-pacman").game == "ms_pacman"
    with pytest.raises(UserError, match="no Atari agent 'dqnn'"):
        atari_blocks.train_agent_block(config, "dqnn", "pong")


def test_more_shards_leave_the_existing_ones_alone(raw):
    """Neither the numbers of shards nor the other games may be in a shard's block."""
    before = atari_blocks.atari_shard_block(load_config(raw), "atari-res-pong").canonical_json()
    del raw["simulator_experiments"]  # one of them needs all the games
    raw["atari_datasets"]["atari-res"] |= {"shards": 900, "test_shards": 20, "games": ["pong", "qbert"]}
    assert atari_blocks.atari_shard_block(load_config(raw), "atari-res-pong").canonical_json() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"games": ["pongg"]}, ["atari_datasets.atari-res.games.0", "pongg", "did you mean 'pong'"]),
        ({"games": ["combat"]}, ["atari_datasets.atari-res.games.0", "combat"]),
        ({"games": ["pong", "pong"]}, ["atari_datasets.atari-res", "twice"]),
        ({"epsilon": 2}, ["atari_datasets.atari-res.epsilon", "2"]),
        ({"epsylon": 0.1}, ["atari_datasets.atari-res.epsylon", "Did you mean 'epsilon'"]),
        ({"rules": {"actions": "some"}}, ["atari_datasets.atari-res.rules.actions", "some", "minimal"]),
        ({"rules": {"action": "full"}}, ["atari_datasets.atari-res.rules.action", "Did you mean 'actions'"]),
        ({"frames_per_shard": 1010}, ["atari_datasets.atari-res", "frames_per_shard", "multiple of"]),
        ({"agent": "dqnn"}, ["atari_datasets.atari-res.agent", "dqnn", "a2c"]),
    ],
)
def test_bad_entry_is_named_with_its_path_its_value_and_what_is_allowed(raw, change, words):
    raw["atari_datasets"]["atari-res"] |= change
    with pytest.raises(UserError) as caught:
        load_config(raw)
    for word in words:
        assert word in str(caught.value)
