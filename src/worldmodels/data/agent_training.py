"""Training the agents that only collect data, with stable-baselines3's DQN or A2C.

A training that was killed goes on from its last checkpoint, but not bit by bit: the games begin new episodes, and
stable-baselines3 keeps no random state. Checkpoints are its own files (a zip and a pickled replay memory) in the state
folder; a finished agent is a safetensors file (models/atari_agent.py).
"""

import math
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import A2C, DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import nn

from worldmodels.config.atari import AgentOptions, AgentTraining
from worldmodels.config.tasks import AtariOptions
from worldmodels.envs.atari.learning import LearningGames
from worldmodels.errors import UserError
from worldmodels.models.atari_agent import AtariAgent, load_agent
from worldmodels.runtime.files import readable_disk_errors
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.state import StateFolder
from worldmodels.seeds import integer_seed

SHOWN_EPISODES = 20


def train_agent(
    options: AgentTraining, game: str, start_from: Path | None, state: StateFolder, device: torch.device
) -> AtariAgent:
    """Train until `options.steps` steps are done. Raises UserError when `start_from` is an agent of other actions."""
    task = AtariOptions(game=game, **options.rules.model_dump())
    state.longest_interval = math.inf  # a replay memory of 100,000 steps is a file of 2.8 GB: cost alone decides
    words = ("train_agent", game, options.seed, "episodes")
    found = state.load()
    done = found[1]["steps"] if found is not None and _folder(state, found[1]["steps"]).exists() else 0
    games = LearningGames(task, options.environments, (*words, done), options.clip_rewards, options.life_loss_ends)
    learner = make_learner(options, games, device) if done == 0 else resume_learner(options, games, state, done, device)
    if start_from is not None and done == 0:
        _take_weights(learner, start_from, task, games.consoles[0].action_codes)
    with Progress(f"train {options.algorithm} on {game}", options.steps, "steps", state, done) as progress:
        if done < options.steps:
            watch = Watch(games, progress, state)
            learner.set_logger(Logger(folder=None, output_formats=[]))  # its own leaves a folder in /tmp
            learner.learn(options.steps - done, callback=watch, reset_num_timesteps=done == 0, log_interval=10**9)
            watch.checkpoint()
    return finished_agent(learner, options, task, games.consoles[0].action_codes)


def make_learner(options: AgentTraining, games: LearningGames, device: torch.device) -> BaseAlgorithm:
    """A fresh agent. What is not said here is stable-baselines3's default, or Mnih et al. 2015's."""
    seed = integer_seed("train_agent", options.seed) % 2**31
    if options.algorithm == "a2c":
        rate = options.learning_rate
        return A2C("CnnPolicy", games, learning_rate=rate, ent_coef=options.entropy, seed=seed, device=device)
    return DQN(
        "CnnPolicy",
        games,
        learning_rate=options.learning_rate,
        buffer_size=options.replay,
        learning_starts=options.learning_starts,
        batch_size=32,
        train_freq=max(1, 4 // options.environments),
        gradient_steps=max(1, options.environments // 4),
        target_update_interval=options.target_update,
        exploration_fraction=options.exploration_fraction,
        exploration_final_eps=options.final_epsilon,
        **_replay_memory(options),
        seed=seed,
        device=device,
    )


def _replay_memory(options: AgentTraining) -> dict[str, Any]:
    """DQN's words for its memory. That of one step keeps no frame twice, but takes a time limit for an end."""
    if options.n_steps == 1:
        return {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}
    # Said to the memory itself: a learner that is loaded again warns of an n_steps beside a memory of its own.
    return {
        "replay_buffer_class": NStepReplayBuffer,
        "replay_buffer_kwargs": {"n_steps": options.n_steps, "gamma": 0.99},
    }


def resume_learner(
    options: AgentTraining, games: LearningGames, state: StateFolder, done: int, device: torch.device
) -> BaseAlgorithm:
    """The agent of the last checkpoint, with its replay memory."""
    folder = _folder(state, done)
    if options.algorithm == "a2c":
        return A2C.load(folder / "learner.zip", env=games, device=device)
    learner = DQN.load(folder / "learner.zip", env=games, device=device)
    learner.load_replay_buffer(folder / "replay.pkl")
    memory = learner.replay_buffer
    if isinstance(memory, NStepReplayBuffer):  # what comes next is another episode: no return may go on into it
        last = memory.pos - 1
        memory.timeouts[last] = 1 - memory.dones[last]
    return learner


class Watch(BaseCallback):
    """Counts steps, saves checkpoints, and stops when asked."""

    def __init__(self, games: LearningGames, progress: Progress, state: StateFolder) -> None:
        super().__init__()
        self._games, self._progress, self._state = games, progress, state

    def _on_step(self) -> bool:
        returns = [value for _, value in self._games.finished[-SHOWN_EPISODES:]]
        self._progress.advance(self._games.num_envs, **({"return": float(np.mean(returns))} if returns else {}))
        if self._state.due:
            self.checkpoint()
            self._state.leave_if_stopped()
        return True

    def checkpoint(self) -> None:
        """Save the agent and its replay memory beside the last ones, then forget those."""
        began, steps = time.monotonic(), int(self.model.num_timesteps)
        folder = _folder(self._state, steps)
        with readable_disk_errors(folder):
            folder.mkdir(exist_ok=True)
            self.model.save(folder / "learner.zip")
            if isinstance(self.model, DQN):
                self.model.save_replay_buffer(folder / "replay.pkl")
        self._state.save({"steps": torch.tensor(steps)}, {"steps": steps}, began)
        for other in self._state.path.glob("learner-*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)


def _folder(state: StateFolder, steps: int) -> Path:
    return state.path / f"learner-{steps}"


def _networks(learner: BaseAlgorithm) -> dict[str, nn.Module]:
    """The parts of a stable-baselines3 agent, by the names that they have in ours."""
    policy: Any = learner.q_net if isinstance(learner, DQN) else learner.policy
    eyes = policy.features_extractor
    head = policy.q_net[0] if isinstance(learner, DQN) else policy.action_net
    return {"cnn": eyes.cnn, "linear": eyes.linear, "head": head}


def finished_agent(
    learner: BaseAlgorithm, options: AgentTraining, task: AtariOptions, codes: tuple[int, ...]
) -> AtariAgent:
    """The agent without anything that only learning needs."""
    told = AgentOptions(
        algorithm=options.algorithm,
        game=task.game,
        action_codes=codes,
        frame_repeat=task.frame_repeat,
        steps=learner.num_timesteps,
    )
    agent = AtariAgent(told)
    for name, part in _networks(learner).items():
        getattr(agent, name).load_state_dict(part.state_dict())
    return agent.eval()


def _take_weights(learner: BaseAlgorithm, path: Path, task: AtariOptions, codes: tuple[int, ...]) -> None:
    """Begin with the weights of a trained agent of the same game and actions."""
    agent = load_agent(path)
    if (agent.options.game, agent.options.action_codes) != (task.game, codes):
        raise UserError(
            f"{path} is an agent of '{agent.options.game}' with actions {list(agent.options.action_codes)}, but this one "
            f"plays '{task.game}' with {list(codes)}: it cannot go on from there."
        )
    for name, part in _networks(learner).items():
        part.load_state_dict(getattr(agent, name).state_dict())
    if isinstance(learner, DQN):
        learner.q_net_target.load_state_dict(learner.q_net.state_dict())
