"""Episodes in the real environment, many games at once, with results that do not depend on the batch.

Time alignment: at time t the controller sees z_t and M's state before (z_t, a_t); then M consumes (z_t, a_t).

Every game is a *slot*, a fixed row of every batch, and plays a fixed list of episodes: slot s of B plays episodes s,
s + B, s + 2B, ... Batches always have B rows, so a row's arithmetic is the same whoever plays beside it, and an
evaluation that was killed and went on gives the same scores as one that was not.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from worldmodels.config.blocks import EvolveControllerBlock
from worldmodels.models.controller import act
from worldmodels.models.files import Controller, LoadedWorldModel
from worldmodels.models.mdn_rnn import LSTMState
from worldmodels.models.vae import observations_from_frames, sample_latents
from worldmodels.runtime.device import autocast, available_cores, matmul_dtype
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.state import StateFolder
from worldmodels.seeds import SELECTION_SEEDS, episode_seeds, generator


class Outcome(NamedTuple):
    """How one episode ended."""

    episode_seed: int
    steps: int
    total: float  # sum of rewards
    died: bool


class StepResult(Protocol):
    """What a step of all games gives."""

    rewards: np.ndarray  # (B,) float32
    died: np.ndarray  # (B,) bool
    timed_out: np.ndarray  # (B,) bool


class Games(Protocol):
    """Real environments as one batch: see `worldmodels.envs`."""

    frames: np.ndarray  # (B, H, W, 3) uint8, what each game shows now

    def reset(self, slots: Sequence[int], seeds: Sequence[int]) -> None:
        """Begin new episodes in `slots`."""

    def step(self, actions: np.ndarray, active: np.ndarray) -> StepResult:
        """Advance the `active` (B,) games by `actions` (B, A)."""
        ...


class Agent(Protocol):
    """Chooses actions for all slots."""

    def reset(self, slot: int, episode_seed: int) -> None:
        """Forget the slot's past: a new episode begins there."""

    def act(self, frames: np.ndarray) -> np.ndarray:
        """Return actions (B, A) float32 for frames (B, H, W, 3) uint8."""
        ...


class DreamerAgent:
    """The paper's agent: V sees, M remembers, C acts."""

    def __init__(
        self,
        world_model: LoadedWorldModel,
        controller: Controller,
        slots: int,
        max_steps: int,
        latent: str,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model, self.controller, self.dtype, self.latent = world_model, controller.options, dtype, latent
        self.device = world_model.device
        self.weights = torch.as_tensor(controller.weights, dtype=torch.float32, device=self.device)  # (D,)
        self.options = world_model.mdn_rnn.options
        self.state = world_model.mdn_rnn.initial_state(slots)
        self.restarts = np.ones(slots, dtype=np.float32)
        self.noise = np.zeros((slots, max_steps, self.options.latent_size), dtype=np.float32)
        self.step = np.zeros(slots, dtype=np.int64)
        self.seen: Tensor | None = None  # (B, Z), last latents

    def reset(self, slot: int, episode_seed: int) -> None:
        """Zero memory, and noise that belongs to the episode."""
        source = generator("agent", "latent noise", episode_seed)
        self.noise[slot] = source.standard_normal(self.noise.shape[1:], dtype=np.float32)
        self.step[slot] = 0
        self.restarts[slot] = 1

    @torch.inference_mode()
    def act(self, frames: np.ndarray) -> np.ndarray:
        """One step of V, C and M for all slots."""
        restarts = torch.from_numpy(self.restarts).to(self.device)  # (B,)
        keep = 1 - restarts[:, None]
        state = LSTMState(self.state.hidden * keep, self.state.cell * keep)
        latents = self._latents(frames)  # (B, Z)
        sizes, memory = self.options, (state.cell, state.hidden)
        actions = act(self.weights, self.controller, sizes.action_size, latents, *memory)  # (B, A)
        self._remember(latents, actions, restarts, state)
        self.seen = latents
        return actions.cpu().numpy()

    def _latents(self, frames: np.ndarray) -> Tensor:
        observations = observations_from_frames(torch.from_numpy(frames).to(self.device))  # (B, 3, 64, 64)
        with autocast(self.device, self.dtype):
            mean, log_variance = self.model.vae.encode(observations)
        if self.latent == "mean":
            return mean.float()
        steps = np.minimum(self.step, self.noise.shape[1] - 1)
        noise = torch.from_numpy(self.noise[np.arange(len(steps)), steps]).to(self.device)
        return sample_latents(mean.float(), log_variance.float(), noise)

    def _remember(self, latents: Tensor, actions: Tensor, restarts: Tensor, state: LSTMState) -> None:
        flags = [restarts[:, None]] if self.options.restart_input else []
        inputs = torch.cat([latents, actions, *flags], dim=1)[:, None]  # (B, 1, I)
        _, self.state = self.model.mdn_rnn.recur(inputs, torch.zeros_like(restarts)[:, None], state)
        self.restarts = np.zeros_like(self.restarts)
        self.step += 1


class PolicyAgent:
    """A policy that sees nothing, such as the random one; its randomness belongs to the episode."""

    def __init__(self, make_policy: Callable[[np.random.Generator], Callable[[int], np.ndarray]], slots: int) -> None:
        self.make_policy = make_policy
        self.policies: list[Callable[[int], np.ndarray] | None] = [None] * slots
        self.step = [0] * slots
        self.action_size = len(make_policy(generator("agent", "size"))(0))

    def reset(self, slot: int, episode_seed: int) -> None:
        """Begin a new sequence of actions."""
        self.policies[slot] = self.make_policy(generator("agent", "policy", episode_seed))
        self.step[slot] = 0

    def act(self, frames: np.ndarray) -> np.ndarray:
        """The next action of every slot's policy; slots without an episode stand still."""
        actions = np.zeros((len(frames), self.action_size), dtype=np.float32)
        for slot, policy in enumerate(self.policies):
            if policy is not None:
                actions[slot] = policy(self.step[slot])
                self.step[slot] += 1
        return actions


class _Slot:
    """One game's list of episodes and its progress in the current one."""

    def __init__(self, seeds: list[int]) -> None:
        self.waiting = seeds
        self.seed: int | None = None
        self.steps, self.total = 0, 0.0


def play_episodes(
    games: Games,
    agent: Agent,
    seeds: Sequence[int],
    state: StateFolder | None = None,
    watch: Callable[[int, np.ndarray, np.ndarray], None] | None = None,
) -> list[Outcome]:
    """Play one episode for each seed; outcomes in the order of `seeds`.

    state: keeps finished episodes, so that a killed evaluation goes on. watch: called with (slot, frame, action) at
    every step of every active game, for films. Raises UserError when a game dies, Interrupted when stopped.
    """
    done = _restore(state)
    slots = [
        _Slot([seed for seed in seeds[slot :: len(games.frames)] if seed not in done])
        for slot in range(len(games.frames))
    ]
    for index in range(len(slots)):
        _next_episode(index, slots, games, agent)
    with Progress("play", len(seeds), "episodes", state, len(done)) as progress:
        while any(slot.seed is not None for slot in slots):
            active = np.array([slot.seed is not None for slot in slots])
            actions = agent.act(games.frames)
            if watch is not None:
                for index in np.flatnonzero(active).tolist():
                    watch(index, games.frames[index], actions[index])
            result = games.step(actions, active)
            for index in np.flatnonzero(active).tolist():
                _account(slots[index], float(result.rewards[index]))
                if result.died[index] or result.timed_out[index]:
                    outcome = _finish(slots[index], bool(result.died[index]))
                    done[outcome.episode_seed] = outcome
                    _next_episode(index, slots, games, agent)
                    progress.advance(1, mean=float(np.mean([other.total for other in done.values()])))
            if state is not None and state.due:
                state.save({}, {"outcomes": [list(outcome) for outcome in done.values()]})
                state.leave_if_stopped()
    return [done[seed] for seed in seeds]


def _restore(state: StateFolder | None) -> dict[int, Outcome]:
    found = state.load() if state is not None else None
    return {row[0]: Outcome(*row) for row in found[1]["outcomes"]} if found is not None else {}


def _account(slot: _Slot, reward: float) -> None:
    slot.steps += 1
    slot.total += reward


def _finish(slot: _Slot, died: bool) -> Outcome:
    assert slot.seed is not None
    return Outcome(slot.seed, slot.steps, slot.total, died)


def _next_episode(index: int, slots: list[_Slot], games: Games, agent: Agent) -> None:
    slot = slots[index]
    slot.seed = slot.waiting.pop(0) if slot.waiting else None
    slot.steps, slot.total = 0, 0.0
    if slot.seed is not None:
        games.reset([index], [slot.seed])
        agent.reset(index, slot.seed)


def real_validation(
    world_model: LoadedWorldModel, block: EvolveControllerBlock, seed: int, threads: int
) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return a function that scores controllers (D,) on real validation episodes, always the same ones.

    Their seeds are selection seeds, which no reported score ever uses.
    """
    assert block.task is not None and block.evaluation is not None
    task_options, evaluation = block.task, block.evaluation
    task = importlib.import_module(f"worldmodels.envs.{task_options.name}")
    count = block.evolution.validation_episodes
    seeds = episode_seeds(SELECTION_SEEDS, "validation", seed, count=count)
    slots = min(evaluation.games, count)
    dtype = matmul_dtype(evaluation.precision, world_model.device)

    def validate(weights: np.ndarray, _generation: int) -> np.ndarray:
        controller = Controller(weights, block.evolution.controller)
        agent = DreamerAgent(world_model, controller, slots, task_options.max_steps, evaluation.latent, dtype)
        with task.make_games(task_options, slots, min(slots, threads or available_cores())) as games:
            return np.array([outcome.total for outcome in play_episodes(games, agent, seeds)])

    return validate
