"""Agents that only collect data: what they learn from, that they go on after a kill, and files that say what they play."""

import csv
import io
import tempfile

import numpy as np
import pytest
import torch

from worldmodels.config.atari import AgentOptions, AgentTraining
from worldmodels.config.atari_blocks import game_label
from worldmodels.config.tasks import AtariOptions, AtariRules
from worldmodels.data import agent_training, atari_play
from worldmodels.data.agent_scores import AgentEpisode, play_games, score_record
from worldmodels.data.agent_training import Watch, make_learner, train_agent
from worldmodels.envs.atari.eyes import grey_frames
from worldmodels.envs.atari.learning import LearningGames
from worldmodels.errors import UserError
from worldmodels.figures.agent_tables import agents_csv, agents_markdown
from worldmodels.models.atari_agent import AtariAgent, choose_actions, load_agent, save_agent
from worldmodels.runtime.files import write_json
from worldmodels.runtime.stop import Interrupted
from worldmodels.seeds import generator
from worldmodels.stages.tabulate_agents import read_agent

RULES = AtariRules(actions="minimal", max_frames=400)
SMALL = {"environments": 2, "replay": 200, "learning_starts": 40, "target_update": 40, "rules": RULES, "episodes": 2}
CPU = torch.device("cpu")


def play(clip, life_loss_ends, steps=500, game="ms_pacman"):
    """Rewards, dones and infos of random play, one game."""
    games = LearningGames(AtariOptions(game=game, actions="minimal"), 1, ("test",), clip, life_loss_ends)
    games.reset()
    rng, played = generator("test"), []
    for _ in range(steps):
        played.append(games.step(rng.integers(9, size=1)))
    return games, played


@pytest.mark.slow
def test_learning_may_see_the_sign_of_rewards_but_scores_are_the_games():
    clipped, raw = (play(clip, False)[1] for clip in (True, False))
    assert {float(rewards[0]) for _, rewards, _, _ in clipped} == {0.0, 1.0}
    assert max(rewards[0] for _, rewards, _, _ in raw) >= 10
    games, played = play(True, False, steps=900)
    episodes = [infos[0]["episode"] for *_, infos in played if "episode" in infos[0]]
    assert episodes and games.finished[0][1] == episodes[0]["r"] >= 50


@pytest.mark.slow
def test_lost_life_ends_the_return_and_not_the_game():
    """Two lives are lost before the third ends the game: three dones a game, and the game goes on after two of them."""
    _games, played = play(True, True, steps=900)
    dones = [bool(done[0]) for _, _, done, _ in played]
    ends = ["episode" in infos[0] for *_, infos in played]
    first = ends.index(True)
    assert sum(dones[: first + 1]) == 3 and dones[first]
    seen, _, _, infos = played[dones.index(True)]
    assert np.array_equal(seen[0], infos[0]["terminal_observation"])
    seen, _, _, infos = played[first]
    assert not np.array_equal(seen[0], infos[0]["terminal_observation"])
    assert not seen[0, :3].any() and seen[0, 3].any()


@pytest.mark.parametrize("algorithm, n_steps", [("dqn", 1), ("dqn", 5), ("a2c", 1)])
def test_finished_agent_chooses_as_the_one_that_learned(algorithm, n_steps, state):
    """The file holds all that stable-baselines3's policy knows: the same best action for the same frames."""
    options = AgentTraining(algorithm=algorithm, n_steps=n_steps, steps=60, **SMALL)
    games = LearningGames(AtariOptions(game="pong", **RULES.model_dump()), 2, ("test",), True, True)
    learner = make_learner(options, games, CPU)
    learner.learn(60)
    task = AtariOptions(game="pong", **RULES.model_dump())
    agent = agent_training.finished_agent(learner, options, task, games.consoles[0].action_codes)
    frames = generator("test").integers(256, size=(20, 4, 84, 84), dtype=np.uint8)
    theirs, _ = learner.predict(frames, deterministic=True)
    assert agent(torch.from_numpy(frames)).argmax(dim=1).tolist() == theirs.tolist()
    assert agent.options.steps == 60


@pytest.mark.parametrize("algorithm, n_steps", [("dqn", 1), ("dqn", 5), pytest.param("a2c", 1, marks=pytest.mark.slow)])
def test_killed_training_goes_on(algorithm, n_steps, state, tmp_path, monkeypatch):
    """It must not begin again: the steps go on, the replay memory is there, and the weights are the checkpoint's."""
    options = AgentTraining(algorithm=algorithm, n_steps=n_steps, steps=160, **SMALL)
    real, counted = Watch._on_step, []

    def step_and_stop(self):
        counted.append(self.model.num_timesteps)
        if self.model.num_timesteps == 100:
            state.stop.reason = "test"
        return real(self)

    monkeypatch.setattr(Watch, "_on_step", step_and_stop)
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    with pytest.raises(Interrupted):
        train_agent(options, "pong", None, state, CPU)
    assert counted[-1] == 100
    state.stop.reason = None
    counted.clear()
    agent = train_agent(options, "pong", None, state, CPU)
    assert counted[0] == 102 and agent.options.steps == 160
    counted.clear()
    again = train_agent(options, "pong", None, state, CPU)
    assert not counted and torch.equal(again.head.weight, agent.head.weight)
    assert not list(elsewhere.glob("SB3*")), "stable-baselines3's logger leaves folders"


def test_agent_goes_on_from_a_file_of_the_same_game(tmp_path, state):
    torch.manual_seed(0)
    codes = (0, 1, 3, 4, 11, 12)
    path = tmp_path / "agent.safetensors"
    save_agent(path, AtariAgent(AgentOptions(game="pong", action_codes=codes)))
    options = AgentTraining(steps=4, **SMALL)
    agent = train_agent(options, "pong", path, state, CPU)
    assert torch.equal(agent.head.weight, load_agent(path).head.weight)  # before learning starts, nothing changes
    state.path.joinpath("checkpoint.safetensors").unlink()
    with pytest.raises(UserError, match=r"agent of 'pong' .* but this one plays 'breakout'"):
        train_agent(options, "breakout", path, state, CPU)


def test_policy_is_drawn_and_value_is_not():
    """A2C's actions follow its probabilities; DQN's is the best."""
    uniforms = torch.arange(0.005, 1, 0.01, dtype=torch.float64)
    shares = {}
    for algorithm in ("dqn", "a2c"):
        agent = AtariAgent(AgentOptions(algorithm=algorithm, game="pong", action_codes=(0, 1, 3)))
        with torch.no_grad():
            agent.head.weight.zero_()
            agent.head.bias.copy_(torch.log(torch.tensor([0.2, 0.5, 0.3])))
        chosen = choose_actions(agent, torch.zeros(100, 4, 84, 84, dtype=torch.uint8), uniforms)
        shares[algorithm] = torch.bincount(chosen, minlength=3).tolist()
    assert shares == {"dqn": [0, 100, 0], "a2c": [20, 50, 30]}


@pytest.mark.slow
def test_scores_are_of_whole_games_and_the_same_twice(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "agent.safetensors"
    save_agent(path, AtariAgent(AgentOptions(game="ms_pacman", action_codes=(0, 2, 3, 4, 5, 6, 7, 8, 9))))
    task = AtariOptions(game="ms_pacman", actions="minimal")
    played = play_games(path, task, 3, epsilon=0.5)
    assert played == play_games(path, task, 3, epsilon=0.5)
    assert all(episode.ended and episode.total >= 60 for episode in played)
    assert len({episode.seed for episode in played}) == 3 and len({episode.steps for episode in played}) > 1
    record = score_record("ms_pacman", 100, 4, played)
    assert record["emulator_frames"] == 400
    assert record["mean"] == pytest.approx(np.mean([episode.total for episode in played]))


def test_agent_that_is_scored_sees_a_european_game(tmp_path, monkeypatch):
    """Its colours are learnt from its pictures; an agent that saw black would be scored on another game than it learned."""
    path = tmp_path / "agent.safetensors"
    save_agent(path, AtariAgent(AgentOptions(game="air_raid", action_codes=(0, 1))))
    seen = []
    monkeypatch.setattr(
        atari_play, "grey_frames", lambda screens, table: seen.append(grey_frames(screens, table)) or seen[-1]
    )
    play_games(path, AtariOptions(game="air_raid", max_frames=40), 1, epsilon=0.0)
    assert all(frame.max() > 100 for frame in seen[1:])


def test_scores_stand_beside_the_papers(tmp_path):
    """Pong's DQN is reproduced where our interval holds 20.88; a game that the paper did not play has no verdict."""
    rows = []
    scores = {"pong": (20, 21, 21, 21), "ms_pacman": (2400, 2450, 2500, 2600), "alien": (500, 700, 600, 800)}
    for game, returns in scores.items():
        folder = tmp_path / "dqn" / game_label(game)
        folder.mkdir(parents=True)
        (folder / "episodes.csv").write_text("return\n" + "".join(f"{value}\n" for value in returns))
        played = [AgentEpisode(seed, 10, float(total), True) for seed, total in enumerate(returns)]
        write_json(folder / "score.json", score_record(game, 100, 4, played))
        rows.append(read_agent(folder / "score.json", folder / "episodes.csv"))
    table = list(csv.DictReader(io.StringIO(agents_csv(rows, "paper"))))
    assert [(row["agent"], row["game"], row["paper_dqn"], row["verdict"]) for row in table] == [
        ("dqn", "pong", "20.88", "reproduced"),
        ("dqn", "ms-pacman", "2963.31", "partly"),
        ("dqn", "alien", "", ""),
    ]
    assert table[0]["mean"] == "20.75" and table[0]["emulator_frames"] == "400"
    assert {row["verdict"] for row in csv.DictReader(io.StringIO(agents_csv(rows, "laptop")))} == {"smaller scale", ""}
    assert "| dqn | pong | 20.8 ± 0.5 | 20.2 to 21.0 | 4 | 20.88 | reproduced | 400 |" in agents_markdown(
        rows, "x", "paper"
    )
