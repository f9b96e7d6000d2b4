"""The random policy of the released Doom collection: uniform actions, each held for a while."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from worldmodels.config.datasets import HeldRandomPolicy

Policy = Callable[[int], np.ndarray]
"""Step number, from 0 -> action (A,)."""


def make_policy(options: HeldRandomPolicy | Mapping[str, Any], rng: np.random.Generator) -> Policy:
    """Return a policy for one episode. Actions are U(-1, 1).

    As in the released code, an action changes where the step number is a multiple of the hold, and a new hold is drawn
    at each change; so holds are irregular, not simply uniform.
    """
    chosen = options if isinstance(options, HeldRandomPolicy) else HeldRandomPolicy.model_validate(options)
    action, hold = np.zeros(1, dtype=np.float32), 1

    def policy(step: int) -> np.ndarray:
        nonlocal action, hold
        if step % hold == 0:
            action = rng.uniform(-1, 1, size=1).astype(np.float32)
            hold = int(rng.integers(chosen.shortest_hold, chosen.longest_hold + 1))
        return action

    return policy
