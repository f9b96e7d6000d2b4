"""Policies that see nothing: what data sets are collected with."""

from collections.abc import Callable

import numpy as np

from worldmodels.config.datasets import (
    BrownianPolicy,
    HeldRandomPolicy,
    PolicyOptions,
    RandomControllerPolicy,
    SweepingPolicy,
    UniformPolicy,
    WanderingPolicy,
)

Policy = Callable[[int], np.ndarray]
"""Step number, from 0 -> numbers (A,) float32 in [-1, 1], which the task's `action_from_unit` makes an action."""


def make_policy(options: PolicyOptions, action_size: int, rng: np.random.Generator) -> Policy:
    """Return a policy for one episode; all its randomness comes from `rng`."""
    match options:
        case HeldRandomPolicy():
            return held_random(options, action_size, rng)
        case SweepingPolicy():
            return sweeping(options, action_size, rng)
        case WanderingPolicy():
            return wandering(options, action_size, rng)
        case RandomControllerPolicy():
            return random_controller(options, action_size, rng)
        case BrownianPolicy():
            return brownian(options, action_size, rng)
        case UniformPolicy():
            return lambda _step: rng.uniform(-1, 1, size=action_size).astype(np.float32)


def held_random(options: HeldRandomPolicy, action_size: int, rng: np.random.Generator) -> Policy:
    """Actions U(-1, 1), held for a while (the released Doom collection).

    As in the released code, an action changes where the step number is a multiple of the hold, and a new hold is drawn
    at each change; so holds are irregular, not simply uniform.
    """
    action, hold = np.zeros(action_size, dtype=np.float32), 1

    def policy(step: int) -> np.ndarray:
        nonlocal action, hold
        if step % hold == 0:
            action = rng.uniform(-1, 1, size=action_size).astype(np.float32)
            hold = int(rng.integers(options.shortest_hold, options.longest_hold + 1))
        return action

    return policy


def sweeping(options: SweepingPolicy, action_size: int, rng: np.random.Generator) -> Policy:
    """One way, then the other, each for a while; every number of an action does so.

    A move is an action with |x| ~ U(1/3, 1), a rest one with x ~ U(-1/3, 1/3): Take Cover cuts the range into thirds, and
    M, which sees the numbers, has to learn all of it. Holds and rests are uniform numbers of tics.
    """
    side = rng.choice([-1.0, 1.0])
    waiting: list[tuple[float, int]] = []  # actions to come, each with its number of tics

    def policy(_step: int) -> np.ndarray:
        nonlocal side
        if not waiting:
            side = -side
            if rng.random() < options.rest:
                waiting.append((rng.uniform(-1 / 3, 1 / 3), int(rng.integers(1, options.longest_rest + 1))))
            hold = int(rng.integers(options.shortest_hold, options.longest_hold + 1))
            waiting.append((side * rng.uniform(1 / 3, 1), hold))
        action, tics = waiting[0]
        waiting[:1] = [(action, tics - 1)] if tics > 1 else []
        return np.full(action_size, action, dtype=np.float32)

    return policy


def wandering(options: WanderingPolicy, action_size: int, rng: np.random.Generator) -> Policy:
    """Sweeping and resting for 1 to n tics, with an n ~ exp(U(log shortest, log longest)) for the whole episode."""
    bounds = np.log([options.shortest_stride, options.longest_stride])
    stride = round(float(np.exp(rng.uniform(*bounds))))
    return sweeping(SweepingPolicy(longest_hold=stride, rest=options.rest, longest_rest=stride), action_size, rng)


def random_controller(options: RandomControllerPolicy, action_size: int, rng: np.random.Generator) -> Policy:
    """A random linear controller on noise: tanh(W z + b), z ~ N(0, I) at each step (the released CarRacing collection).

    There V and M have weights of almost zero, so that z is noise and M's state nothing. W and b are Cauchy, times a
    scale that is drawn for each episode.
    """
    scale = rng.random() * options.largest_scale
    weights = scale * rng.standard_cauchy((action_size, options.latent_size))
    biases = scale * rng.standard_cauchy(action_size)

    def policy(_step: int) -> np.ndarray:
        return np.tanh(weights @ rng.standard_normal(options.latent_size) + biases).astype(np.float32)

    return policy


def brownian(options: BrownianPolicy, action_size: int, rng: np.random.Generator) -> Policy:
    """A random walk that stays in [-1, 1] (the collection of several ports)."""
    action = rng.uniform(-1, 1, size=action_size)

    def policy(_step: int) -> np.ndarray:
        nonlocal action
        action = np.clip(action + options.step * rng.standard_normal(action_size), -1, 1)
        return action.astype(np.float32)

    return policy
