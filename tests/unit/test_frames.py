"""Batches for V: every frame once an epoch, any step on its own, errors that surface."""

import itertools

import numpy as np
import pytest
import torch

from worldmodels.data.frames import FrameBatches, gathered, load_frames
from worldmodels.errors import UserError


class Numbers:
    """Frames that are filled with their own number, in chunks of 10."""

    def __init__(self, count, broken=None):
        self.chunk_bounds = [(start, min(start + 10, count)) for start in range(0, count, 10)]
        self.broken = broken

    def read(self, start, stop):
        if self.broken is not None and start <= self.broken < stop:
            raise UserError("chunk is damaged")
        return np.arange(start, stop, dtype=np.uint8)[:, None, None, None] * np.ones((64, 64, 3), np.uint8)


def numbers(batches, first=0):
    return [batch[:, 0, 0, 0].tolist() for batch in batches.iterate(first)]


GROUP = 40 * 64 * 64 * 3


def test_every_frame_comes_once_an_epoch_in_another_order():
    batches = FrameBatches(Numbers(120), 8, 2, ("test",), GROUP)
    seen = numbers(batches)
    half = len(seen) // 2
    for epoch in (seen[:half], seen[half:]):
        assert sorted(itertools.chain(*epoch)) == list(range(120))
    assert seen[:half] != seen[half:]
    assert len(batches) == 30


def test_a_resumed_training_sees_what_an_undisturbed_one_saw():
    expected = numbers(FrameBatches(Numbers(120), 8, 2, ("test",), GROUP))
    for first in (0, 1, 7, 17, 29):
        assert numbers(FrameBatches(Numbers(120), 8, 2, ("test",), GROUP), first) == expected[first:]


def test_half_an_epoch_is_half_of_every_chunk_spread_out():
    """All frames of half of the chunks would show V half as many moments."""
    batches = FrameBatches(Numbers(120), 10, 0.5, ("test",), GROUP)
    seen = sorted(itertools.chain(*numbers(batches)))
    assert len(seen) == len(set(seen)) == 60
    assert all(sum(10 * chunk <= number < 10 * chunk + 10 for number in seen) == 5 for chunk in range(12))
    assert set(np.diff(seen)) <= {1, 2, 3} and max(len(group.chunks) for group in batches.groups) == 8
    other = FrameBatches(Numbers(120), 10, 0.5, ("other",), GROUP)
    assert sorted(itertools.chain(*numbers(other))) != seen


def test_one_epoch_and_a_half_takes_every_frame_once_and_half_of_them_twice():
    seen = list(itertools.chain(*numbers(FrameBatches(Numbers(120), 10, 1.5, ("test",), GROUP))))
    assert sorted(seen[:120]) == list(range(120)) and len(set(seen[120:])) == 60


@pytest.mark.parametrize(("epochs", "updates", "size"), [(3, 3, 90), (0.5, 1, 45), (1.5, 1, 90)])
def test_fewer_frames_than_a_batch_are_one_smaller_batch_an_epoch(epochs, updates, size):
    """As many updates as epochs, and never more frames at once than were asked for."""
    seen = numbers(FrameBatches(Numbers(90), 100, epochs, ("test",), GROUP))
    assert [len(batch) for batch in seen] == [size] * updates and all(len(set(batch)) == size for batch in seen)


def test_a_batch_may_be_larger_than_a_group():
    seen = numbers(FrameBatches(Numbers(200), 100, 1, ("test",), GROUP))
    assert [len(batch) for batch in seen] == [100, 100] and len({*seen[0], *seen[1]}) == 200


def test_groups_are_bounded_whatever_the_number_of_frames():
    """Memory follows from the size of a group."""
    for count in (120, 240):
        batches = FrameBatches(Numbers(count), 8, 1, ("test",), GROUP)
        assert max(len(group.chunks) for group in batches.groups) == 4


def test_damaged_chunk_ends_training_with_its_message():
    with pytest.raises(UserError, match="damaged"):
        numbers(FrameBatches(Numbers(120, broken=77), 8, 1, ("test",), GROUP))


def test_fewer_frames_than_a_batch_make_one_batch():
    assert [len(batch) for batch in numbers(FrameBatches(Numbers(7), 100, 1, ("test",), GROUP))] == [7]


@pytest.mark.parametrize("first_step", [0, 11])
def test_batches_gathered_in_memory_are_those_read_from_disk(first_step):
    batches = FrameBatches(Numbers(120), 8, 1.5, ("test",), GROUP)
    gather = gathered(batches, load_frames(Numbers(120), torch.device("cpu")))
    assert [batch[:, 0, 0, 0].tolist() for batch in gather(first_step)] == numbers(batches, first_step)
