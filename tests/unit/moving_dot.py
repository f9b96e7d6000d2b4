"""A toy emulator: a bright dot on a ring of columns, moved by actions 0 (left), 1 (stay) and 2 (right)."""

import itertools

import torch

from worldmodels.config.simulators import RESOptions
from worldmodels.config.video import convolution
from worldmodels.data.windows import Windows
from worldmodels.seeds import integer_seed
from worldmodels.simulators.prediction_error import batch_errors, joined

SIZE, ACTIONS = 8, 3


def small_options(**changes):
    """A network that learns the dot in seconds."""
    sizes = {"height": SIZE, "width": SIZE, "channels": 1, "actions": ACTIONS, "hidden_size": 48, "fusion_size": 48}
    layers = [convolution(8, 4, 1, 1), convolution(8, 4, 1, 1)]
    return RESOptions(**{**sizes, "convolutions": layers, **changes})


def dot_frames(columns):
    """Frames (B, T, SIZE, SIZE, 1) uint8 with the dot at `columns` (B, T), in rows 2 to 5."""
    lit = torch.nn.functional.one_hot(columns % SIZE, SIZE)  # (B, T, W)
    rows = torch.zeros(SIZE, dtype=torch.long)
    rows[2:6] = 1
    return (200 * lit[:, :, None, :] * rows[:, None] + 20).to(torch.uint8)[..., None]


def dot_windows(batch, steps, *words, actions=None):
    """B windows of T steps: the dot goes where the actions say. Reward 1 for going right."""
    source = torch.Generator().manual_seed(integer_seed("dot", *words))
    if actions is None:
        actions = torch.randint(0, ACTIONS, (batch, steps), generator=source)
    first = torch.randint(0, SIZE, (batch, 1), generator=source)
    columns = torch.cat([first, first + (actions - 1).cumsum(dim=1)], dim=1)
    rewards = (actions == 2).float()
    return Windows(dot_frames(columns), actions, rewards, torch.zeros(batch, steps, dtype=torch.bool))


def horizon_errors(simulator, batches, warm_up, horizon):
    """The errors of a simulator on all windows of `batches`."""
    return joined(list(batch_errors(simulator, batches, warm_up, horizon)))


def dot_source(batch, steps, *words):
    """Batches of windows: a function of their number."""

    def windows(first):
        for number in itertools.count(first):
            yield dot_windows(batch, steps, *words, number)

    return windows
