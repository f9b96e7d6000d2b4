"""Episodes in the real environment, many games at once, with results that do not depend on the batch.

Time alignment: at time t the controller sees z_t and M's state before (z_t, a_t); then M consumes (z_t, a_t).

Every game is a *slot*, a fixed row of every batch. Episodes are handed out in order, each to the slot that is free first
by the slots' own clocks, which count the steps that they have played. Batches always have B rows, so a row's arithmetic is the
same whoever plays beside it, and an evaluation that was killed and went on gives the same scores as one that was not.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from worldmodels.config.blocks import EvolveControllerBlock
from worldmodels.envs.games import StepResult, Task
from worldmodels.envs.policies import Policy
from worldmodels.models.controller import act
from worldmodels.models.files import Controller, LoadedWorldModel
from worldmodels.models.mdn_rnn import LSTMState
from worldmodels.models.vae import observations_from_frames, sample_latents
from worldmodels.runtime.device import autocast, matmul_dtype
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.state import StateFolder
from worldmodels.scores import Scores
from worldmodels.seeds import SELECTION_SEEDS, episode_seeds, generator


class Outcome(NamedTuple):
    """How one episode ended."""

    episode_seed: int
    steps: int
    total: float  # sum of rewards
    ended: bool  # by the rules of the game: in Doom, death; False is a timeout


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

    def reset(self, slot: int, episode: int, episode_seed: int) -> None:
        """Forget the slot's past: episode number `episode` begins there."""

    def act(self, frames: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Return actions (B, A) float32 for frames (B, H, W, 3) uint8; rows that are not `active` (B,) do not matter."""
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
        compact: bool = False,
    ) -> None:
        """controller: its weights are (D,), or (E, D) where each episode has its own.

        compact: compute active slots only. That is faster where episodes end at different times, but then a row's
        rounding depends on who plays beside it.
        """
        self.model, self.controller, self.dtype, self.latent = world_model, controller.options, dtype, latent
        self.compact = compact
        self.device = world_model.device
        weights = torch.as_tensor(controller.weights, dtype=torch.float32, device=self.device)
        self.weights = weights if weights.ndim == 2 else weights[None]  # (E, D) or (1, D)
        self.chosen = np.zeros(slots, dtype=np.int64)  # which of them each slot plays with
        self.options = world_model.mdn_rnn.options
        self.state = world_model.mdn_rnn.initial_state(slots)
        self.restarts = np.ones(slots, dtype=np.float32)
        self.noise = np.zeros((slots, max_steps, self.options.latent_size), dtype=np.float32)
        self.step = np.zeros(slots, dtype=np.int64)

    def reset(self, slot: int, episode: int, episode_seed: int) -> None:
        """Zero memory, and noise that belongs to the episode."""
        source = generator("agent", "latent noise", episode_seed)
        self.noise[slot] = source.standard_normal(self.noise.shape[1:], dtype=np.float32)
        self.step[slot] = 0
        self.restarts[slot] = 1
        self.chosen[slot] = episode if len(self.weights) > 1 else 0

    @torch.inference_mode()
    def act(self, frames: np.ndarray, active: np.ndarray) -> np.ndarray:
        """One step of V, C and M for all slots, or for the active ones."""
        rows = np.flatnonzero(active) if self.compact else np.arange(len(frames))
        restarts = torch.from_numpy(self.restarts[rows]).to(self.device)  # (b,)
        keep = 1 - restarts[:, None]
        state = LSTMState(self.state.hidden[rows] * keep, self.state.cell[rows] * keep)
        latents = self._latents(frames[rows], rows)  # (b, Z)
        sizes, memory = self.options, (state.cell, state.hidden)
        weights = self.weights[self.chosen[rows]] if len(self.weights) > 1 else self.weights[0]
        chosen = self.replaced(act(weights, self.controller, sizes.action_size, latents, *memory))  # (b, A)
        self._remember(latents, chosen, restarts, state, rows)
        actions = np.zeros((len(frames), sizes.action_size), dtype=np.float32)
        actions[rows] = chosen.cpu().numpy()
        return actions

    def replaced(self, chosen: Tensor) -> Tensor:
        """The actions (b, A) that are taken, and that M remembers: those that C chose."""
        return chosen

    def _latents(self, frames: np.ndarray, rows: np.ndarray) -> Tensor:
        observations = observations_from_frames(torch.from_numpy(frames).to(self.device))  # (b, 3, 64, 64)
        with autocast(self.device, self.dtype):
            mean, log_variance = self.model.vae.encode(observations)
        if self.latent == "mean":
            return mean.float()
        steps = np.minimum(self.step[rows], self.noise.shape[1] - 1)
        noise = torch.from_numpy(self.noise[rows, steps]).to(self.device)
        return sample_latents(mean.float(), log_variance.float(), noise)

    def _remember(self, latents: Tensor, actions: Tensor, restarts: Tensor, state: LSTMState, rows: np.ndarray) -> None:
        flags = [restarts[:, None]] if self.options.restart_input else []
        inputs = torch.cat([latents, actions, *flags], dim=1)[:, None]  # (b, 1, I)
        _, after = self.model.mdn_rnn.recur(inputs, torch.zeros_like(restarts)[:, None], state)
        self.state.hidden[rows], self.state.cell[rows] = after.hidden, after.cell
        self.restarts[rows] = 0
        self.step[rows] += 1


class PolicyAgent:
    """A policy that sees nothing, such as the random one; its randomness belongs to the episode."""

    def __init__(self, make_policy: Callable[[np.random.Generator], Policy], task: Task, slots: int) -> None:
        self.make_policy, self.task = make_policy, task
        self.policies: list[Policy | None] = [None] * slots
        self.step = [0] * slots

    def reset(self, slot: int, _episode: int, episode_seed: int) -> None:
        """Begin a new sequence of actions."""
        self.policies[slot] = self.make_policy(generator("agent", "policy", episode_seed))
        self.step[slot] = 0

    def act(self, frames: np.ndarray, _active: np.ndarray) -> np.ndarray:
        """The next action of every slot's policy; those of slots without an episode are not used."""
        actions = np.zeros((len(frames), self.task.ACTION_SIZE), dtype=np.float32)
        for slot, policy in enumerate(self.policies):
            if policy is not None:
                actions[slot] = self.task.action_from_unit(policy(self.step[slot]))
                self.step[slot] += 1
        return actions


class _Slot:
    """One game, and its progress in the episode that it plays."""

    def __init__(self) -> None:
        self.episode: int | None = None  # its number; None between episodes
        self.clock = 0  # steps of the episodes before it
        self.steps, self.total = 0, 0.0
        self.idle = 0  # steps since the last reward above 0

    def begin(self, episode: int) -> None:
        """Play another episode."""
        self.episode, self.steps, self.total, self.idle = episode, 0, 0.0, 0

    def account(self, reward: float) -> None:
        """One step was played."""
        self.steps += 1
        self.total += reward
        self.idle = 0 if reward > 0 else self.idle + 1

    def end(self) -> None:
        """The episode is over."""
        self.episode, self.clock, self.steps = None, self.clock + self.steps, 0


class _Schedule:
    """Who plays which episode; it does not depend on whether the evaluation was killed in between."""

    def __init__(self, episodes: int, slots: int, state: StateFolder | None) -> None:
        self.slots = [_Slot() for _ in range(slots)]
        self.done: dict[int, Outcome] = {}
        self.state, self.saved = state, 0
        begun = self._restore()
        self.waiting = [number for number in range(episodes) if number not in self.done and number not in begun]

    def _restore(self) -> list[int]:
        """Return the episodes that were being played: their slots play them again from their beginnings."""
        found = self.state.load() if self.state is not None else None
        if found is None:
            return []
        progress = found[1]
        self.done = {row[0]: Outcome(*row[1:]) for row in progress["outcomes"]}
        self.saved = len(self.done)
        for slot, (clock, episode) in zip(self.slots, progress["slots"], strict=True):
            slot.clock, slot.episode = clock, episode
        return [slot.episode for slot in self.slots if slot.episode is not None]

    def save(self) -> None:
        """Keep the finished episodes, and who plays which, if any has finished since."""
        if self.state is not None and len(self.done) > self.saved:
            outcomes = [[number, *outcome] for number, outcome in self.done.items()]
            self.state.save({}, {"outcomes": outcomes, "slots": [[slot.clock, slot.episode] for slot in self.slots]})
            self.saved = len(self.done)

    def hand_out(self) -> list[int]:
        """Give waiting episodes to free slots; returns their indices.

        After a kill, slots that play an episode again are late: who is free waits until it is known that none of them was
        free before.
        """
        begun = []
        free = [index for index, slot in enumerate(self.slots) if slot.episode is None]
        for index in sorted(free, key=lambda index: (self.slots[index].clock, index)):
            now = self.slots[index].clock
            late = any(slot.episode is not None and slot.clock + slot.steps < now for slot in self.slots)
            if late or not self.waiting:
                break
            self.slots[index].begin(self.waiting.pop(0))
            begun.append(index)
        return begun


def play_episodes(
    games: Games,
    agent: Agent,
    seeds: Sequence[int],
    state: StateFolder | None = None,
    watch: Callable[[int, np.ndarray, np.ndarray], None] | None = None,
    hopeless_after: int = 0,
    cut_off_after: int | None = None,
    title: str | None = "play",
) -> list[Outcome]:
    """Play one episode for each seed; outcomes in the order of `seeds`.

    state: keeps finished episodes, so that a killed evaluation goes on. watch: called with (slot, frame, action) at
    every step of every active game, for films. hopeless_after: end an episode after so many steps without a reward
    above 0 (0: never). cut_off_after: end every episode after so many steps, where the task does not end it before.
    title: of the progress bar; None for none. Raises UserError when a game dies, Interrupted when stopped.
    """
    schedule = _Schedule(len(seeds), len(games.frames), state)
    slots, done = schedule.slots, schedule.done
    begun = [index for index, slot in enumerate(slots) if slot.episode is not None] + schedule.hand_out()
    with Progress(title, len(seeds), "episodes", state, len(done)) if title else nullcontext() as progress:
        while len(done) < len(seeds):
            _begin(begun, slots, games, agent, seeds)
            active = np.array([slot.episode is not None for slot in slots])
            actions = agent.act(games.frames, active)
            if watch is not None:
                for index in np.flatnonzero(active).tolist():
                    watch(index, games.frames[index], actions[index])
            result = games.step(actions, active)
            for index in np.flatnonzero(active).tolist():
                slot = slots[index]
                slot.account(float(result.rewards[index]))
                over = result.ended[index] or result.timed_out[index] or slot.steps == cut_off_after
                if over or 0 < hopeless_after <= slot.idle:
                    assert slot.episode is not None
                    done[slot.episode] = Outcome(seeds[slot.episode], slot.steps, slot.total, bool(result.ended[index]))
                    slot.end()
                    if progress is not None:
                        progress.advance(1, mean=float(np.mean([other.total for other in done.values()])))
            begun = schedule.hand_out()
            if state is not None and state.due:
                schedule.save()
                state.leave_if_stopped()
    return [done[number] for number in range(len(seeds))]


def _begin(indices: list[int], slots: list[_Slot], games: Games, agent: Agent, seeds: Sequence[int]) -> None:
    """Show the first frames of the episodes that begin in the slots `indices`."""
    begun = [(index, episode) for index in indices if (episode := slots[index].episode) is not None]
    if begun:
        games.reset([index for index, _ in begun], [seeds[episode] for _, episode in begun])
    for index, episode in begun:
        agent.reset(index, episode, seeds[episode])


class RealEpisodes:
    """Scores controllers in the real game while they are evolved: on selection seeds, which no reported score uses."""

    def __init__(self, world_model: LoadedWorldModel, block: EvolveControllerBlock, seed: int, games: Games) -> None:
        assert block.task is not None and block.evaluation is not None
        self.world_model, self.seed, self.games = world_model, seed, games
        self.evolution, self.evaluation, self.max_steps = block.evolution, block.evaluation, block.task.max_steps
        self.dtype = matmul_dtype(block.evaluation.precision, world_model.device)

    def population(self, population: np.ndarray, generation: int) -> Scores:
        """Returns (P, R) of controllers (P, D): the whole generation as one batch."""
        members, rollouts = len(population), self.evolution.rollouts
        count = rollouts if self.evolution.same_episodes else members * rollouts
        seeds = episode_seeds(SELECTION_SEEDS, "evolve", self.seed, generation, count=count)
        weights = np.repeat(population, rollouts, axis=0)  # (P * R, D)
        seeds *= members if self.evolution.same_episodes else 1
        short = self.evolution.short_episodes
        cut_off_after = short.steps if short is not None and generation < short.generations else None
        outcomes = self._play(weights, seeds, cut_off_after)
        returns = np.array([outcome.total for outcome in outcomes]).reshape(members, rollouts)
        return Scores(returns, sum(outcome.steps for outcome in outcomes))

    def evaluation_score(self, weights: np.ndarray, _generation: int) -> Scores:
        """Returns (n,) of one controller (D,), on the same episodes each time; they are never cut off early."""
        return self._same_episodes(weights, "evaluation", self.evolution.evaluation_dreams)

    def validation_score(self, weights: np.ndarray, _generation: int) -> Scores:
        """Returns (n,) of one controller (D,) on the episodes that selection goes by."""
        return self._same_episodes(weights, "validation", self.evolution.validation_episodes)

    def _same_episodes(self, weights: np.ndarray, purpose: str, count: int) -> Scores:
        outcomes = self._play(weights, episode_seeds(SELECTION_SEEDS, purpose, self.seed, count=count))
        return Scores(np.array([outcome.total for outcome in outcomes]), sum(outcome.steps for outcome in outcomes))

    def _play(self, weights: np.ndarray, seeds: list[int], cut_off_after: int | None = None) -> list[Outcome]:
        controller = Controller(weights, self.evolution.controller)
        slots, latent = len(self.games.frames), self.evaluation.latent
        agent = DreamerAgent(self.world_model, controller, slots, self.max_steps, latent, self.dtype, compact=True)
        hopeless = self.evolution.hopeless_after
        return play_episodes(self.games, agent, seeds, hopeless_after=hopeless, cut_off_after=cut_off_after, title=None)
