"""An agent inside a simulator: real frames exactly where they are due, the agent's own predictions between, the real game's score."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_atari_store import make_agent

from worldmodels.__main__ import INTERRUPTED, main
from worldmodels.config.acvp_presets import copy_last, mean_frame
from worldmodels.config.simulators import RESOptions
from worldmodels.config.tasks import AtariOptions
from worldmodels.config.video import convolution
from worldmodels.data.agent_scores import play_games
from worldmodels.data.real_games import RealGames
from worldmodels.errors import UserError
from worldmodels.models.atari_agent import load_agent, save_agent
from worldmodels.models.video.files import build_network
from worldmodels.runtime.weights import save_weights
from worldmodels.simulators.agent_play import frames_of_agent, play_chain
from worldmodels.simulators.protocol import Origin
from worldmodels.simulators.video import VideoSimulator
from worldmodels.stages import play_agent

TASK = AtariOptions(game="ms_pacman", max_frames=280)
"""Games of at most 70 steps."""
SEEDS = (1, 2)


def games(agent, epsilon=0.0, task=TASK):
    return RealGames(agent, task, SEEDS, epsilon)


def copying(actions=18, size=84):
    return VideoSimulator(build_network(copy_last(height=size, width=size, channels=1, actions=actions).model))


def untrained():
    torch.manual_seed(1)
    options = RESOptions(
        **{"height": 84, "width": 84, "channels": 1, "actions": 18, "hidden_size": 8, "fusion_size": 8},
        convolutions=[convolution(4, 8, 0, 0, 4)],
    )
    return VideoSimulator(build_network(options))


def keen_agent(path):
    """An agent that is sure of its action on any frame but a black one, where it draws one at random."""
    agent = load_agent(make_agent(path, "pong", (0, 2, 3), algorithm="a2c"))
    with torch.no_grad():
        for name, value in agent.named_parameters():
            value.mul_(0 if name.endswith("bias") else 10)
    save_agent(path, agent)
    return path


@pytest.fixture
def agent(tmp_path):
    return make_agent(tmp_path / "agent.safetensors")


def test_real_frames_come_after_every_chain_period(agent):
    """Copied last frames show which real frame the simulator saw last: the one at the chain's beginning."""
    played = play_chain(copying(), games(agent), chain_period=4, warm_up=3, steps=16)
    assert [moment.ahead for moment in played.frames] == [0, 0, 0, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0]
    for number, moment in enumerate(played.frames):
        assert np.array_equal(moment.seen, played.frames[number - moment.ahead].real)
    assert len({moment.real.tobytes() for moment in played.frames}) > 8, "the real game goes on"
    first = played.episodes[0]
    squares = [((one.seen / 255.0 - one.real / 255.0) ** 2).mean() for one in played.frames if one.ahead]
    assert first.error == pytest.approx(np.mean(squares), rel=1e-5) and first.error > 0


def test_moments_are_those_of_the_first_chain(agent):
    """The newest frames of the agent's stacks: copied last frames stay, and push the real ones out."""
    played = play_chain(copying(), games(agent), chain_period=9, warm_up=3, steps=16)
    assert [moment.ahead for moment in played.moments] == [0, 1, 5, 8]
    for ahead, real, seen in played.moments:
        frames = [moment.real[..., 0] for moment in played.frames[: 3 + ahead + 1]]
        last = frames[3]
        assert np.array_equal(real, frames[-4:])
        assert np.array_equal(seen, [*frames[:4], *[last] * ahead][-4:])


def test_period_of_one_is_the_agent_in_the_real_game(agent):
    """Whatever the simulator imagines, it is never seen."""
    one, other = (play_chain(simulator, games(agent, epsilon=0.5), 1, 3, 70) for simulator in (copying(), untrained()))
    assert [episode[:4] for episode in one.episodes] == [episode[:4] for episode in other.episodes]
    assert all(np.isnan(episode.agreement) and np.isnan(episode.error) for episode in one.episodes)
    assert all(60 < episode.steps <= 70 and episode.total > 0 and not episode.ended for episode in one.episodes)


def test_period_of_one_plays_the_games_of_the_agents_score(agent):
    """The same random numbers, the same stacks of frames: scores of agents and of agents in simulators compare."""
    scored = play_games(agent, TASK, 2, epsilon=0.5)
    beside = play_chain(copying(), RealGames(agent, TASK, [one.seed for one in scored], 0.5), 1, 3, 70)
    assert [episode[:4] for episode in beside.episodes] == [tuple(episode) for episode in scored]


def test_agent_acts_on_what_it_sees(tmp_path):
    """Darkness for frames changes its choices, and so the course of the game."""
    agent = keen_agent(tmp_path / "keen.safetensors")
    dark = build_network(mean_frame(height=84, width=84, channels=1, actions=18).model)  # of no frames: black
    pong = AtariOptions(game="pong")
    blind = play_chain(VideoSimulator(dark), games(agent, task=pong), 20, 3, 60)
    assert not blind.frames[4].seen.any() and blind.frames[4].ahead == 1
    assert any(episode.agreement < 1 for episode in blind.episodes)
    real = play_chain(copying(), games(agent, task=pong), 1, 3, 60)
    same = [np.array_equal(one.real, other.real) for one, other in zip(blind.frames, real.frames, strict=True)]
    assert all(same[:5]) and not all(same), "the game takes another course, and not before a frame was predicted"


def test_frames_of_simulators_are_seen_as_those_of_the_game():
    """Colour at full size and grey at the agent's size lead to one picture."""
    from worldmodels.envs.atari.colours import Colours, read_both
    from worldmodels.envs.atari.emulator import Console
    from worldmodels.envs.atari.eyes import grey_frames

    console = Console(TASK)
    screen, picture = read_both(console)
    wanted = grey_frames(screen[None], Colours.of(console).grey)
    assert np.array_equal(frames_of_agent(torch.from_numpy(picture[None])), wanted)
    assert np.array_equal(frames_of_agent(torch.from_numpy(wanted[..., None])), wanted)
    assert frames_of_agent(torch.full((1, 24, 24, 1), 7, dtype=torch.uint8)).tolist() == [[[7] * 84] * 84]


def test_simulator_of_another_action_set_is_refused(agent):
    with pytest.raises(UserError, match="has 18 actions here, but the simulator has 6"):
        play_chain(copying(actions=6), games(agent), 4, 3, 5)


def test_simulator_of_another_game_is_refused(agent):
    foreign = copying()
    foreign.origin = Origin(Path("mine/weights.safetensors"), "seaquest")
    with pytest.raises(UserError, match=f"mine/weights.safetensors was trained on seaquest, not on {TASK.game}"):
        play_chain(foreign, games(agent), 4, 3, 5)


def run_stage(folder, agent, name):
    weights = folder / "simulator" / "weights.safetensors"
    if not weights.exists():
        weights.parent.mkdir()
        ours = untrained()
        save_weights(weights, ours.network, "res", ours.options, {})
    block = {"kind": "res", "task": TASK.model_dump(), "warm_up": 3, "chain_periods": [8, 1], "games": 2, "steps": 20}
    words = ["--weights", weights, "--agent", agent, "--seed", 1, "--csv", folder / f"{name}.csv"]
    words += ["--film", folder / f"{name}.mp4", "--moments", folder / f"{name}.h5", "--device", "cpu", "--threads", 1]
    return main(["play_agent", *map(str, words), "--config", json.dumps({**block, "epsilon": 0.05})])


def test_stage_goes_on_after_a_kill_with_the_same_bytes(tmp_path, agent, monkeypatch):
    """Policies and chain periods that were played are not played again."""
    assert run_stage(tmp_path, agent, "whole") == 0
    rows = list(csv.DictReader((tmp_path / "whole.csv").open()))
    assert [(row["policy"], row["chain_period"]) for row in rows[::2]] == [
        ("random", "1"),
        ("agent", "1"),
        ("agent", "8"),
    ]
    assert len({row["episode_seed"] for row in rows}) == 2 and {row["simulator"] for row in rows} == {"simulator"}
    assert all((row["error"] != "") == (row["chain_period"] == "8") for row in rows)
    real, periods = play_agent.play_chain, []

    def dies_at_the_last(simulator, games, period, *others):
        if period == 8 and len(periods) == 2:
            raise KeyboardInterrupt
        periods.append(period)
        return real(simulator, games, period, *others)

    monkeypatch.setattr(play_agent, "play_chain", dies_at_the_last)
    assert run_stage(tmp_path, agent, "killed") == INTERRUPTED
    periods.append("again")
    assert run_stage(tmp_path, agent, "killed") == 0
    assert periods == [1, 1, "again", 8]
    for suffix in ("csv", "mp4", "h5"):
        assert (tmp_path / f"killed.{suffix}").read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()
