"""Streams of latents: time alignment, restarts, deaths. Episodes are small enough to check by eye."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from worldmodels.data.latents import Latents, Streams, draw_moments, read_latents, split_episodes, write_latents
from worldmodels.errors import UserError


def make_latents(lengths, deaths):
    """Latent of row n is the number n, in one dimension; its action is n / 100, its reward -n."""
    rows = sum(lengths)
    means = np.arange(rows, dtype=np.float16)[:, None]
    return Latents(
        means=means,
        log_variances=np.full_like(means, -4),
        actions=(np.arange(rows, dtype=np.float32) / 100)[:, None],
        rewards=-np.arange(rows, dtype=np.float32),
        episode_offsets=np.concatenate([[0], np.cumsum(lengths)]),
        deaths=np.array(deaths),
        vae_sha256="0" * 64,
    )


def test_fatal_action_is_not_dropped():
    """An episode of three frames: M must be asked to predict death after the *last* action, and only there."""
    batch = Streams(make_latents([3], [True]), np.array([0]), streams=1, chunk=3, seed_words=("test",)).batch(0)
    assert batch.fatal.tolist() == [[0, 0, 1]]
    assert batch.has_next.tolist() == [[1, 1, 0]]
    assert batch.restarts.tolist() == [[1, 0, 0]]


def test_input_and_target_are_one_step_apart():
    batch = Streams(make_latents([4], [False]), np.array([0]), streams=1, chunk=4, seed_words=("test",)).batch(0)
    assert batch.means[0, :, 0].tolist() == [0, 1, 2, 3]
    assert batch.actions[0, :, 0].tolist() == pytest.approx([0, 0.01, 0.02, 0.03])
    assert batch.next_means[0, :3, 0].tolist() == [1, 2, 3]
    assert batch.rewards[0].tolist() == [0, -1, -2, -3]


def test_timeout_is_not_a_death():
    batch = Streams(make_latents([3], [False]), np.array([0]), streams=1, chunk=3, seed_words=("test",)).batch(0)
    assert batch.fatal.sum() == 0
    assert batch.has_next[0, -1] == 0


def test_no_target_crosses_an_episodes_end():
    """After a death the first frame of the next episode follows in the stream; M must not learn to predict it."""
    latents = make_latents([2, 3, 2], [True, True, True])
    batch = Streams(latents, np.arange(3), streams=1, chunk=7, seed_words=("test",)).batch(0)
    rows = batch.means[0, :, 0].astype(int)
    for place, row in enumerate(rows):
        last = row in (1, 4, 6)
        assert batch.has_next[0, place] == (not last)
        assert batch.fatal[0, place] == last
        assert batch.restarts[0, place] == (row in (0, 2, 5))


def test_every_pass_shows_every_episode_once_in_another_order():
    streams = Streams(make_latents([5] * 8, [True] * 8), np.arange(8), streams=4, chunk=5, seed_words=("test",))
    first = [streams.batch(update).means for update in range(streams.updates_per_pass)]
    second = [streams.batch(update + streams.updates_per_pass).means for update in range(streams.updates_per_pass)]
    assert sorted(np.concatenate(first).ravel()) == list(range(40))
    assert sorted(np.concatenate(second).ravel()) == list(range(40))
    assert not np.array_equal(first, second)


def test_any_update_can_be_asked_for_alone():
    """A resumed training asks for update 5 first; it must see what an undisturbed one saw there."""
    latents = make_latents([7] * 9, [True] * 9)
    in_order = Streams(latents, np.arange(9), streams=3, chunk=4, seed_words=("test",))
    batches = [in_order.batch(update) for update in range(8)]
    alone = Streams(latents, np.arange(9), streams=3, chunk=4, seed_words=("test",)).batch(5)
    assert all(np.array_equal(one, other) for one, other in zip(alone, batches[5], strict=True))


def test_file_comes_back_and_equal_latents_are_equal_bytes(tmp_path):
    latents = make_latents([3, 4], [True, False])
    write_latents(tmp_path / "a.h5", latents)
    write_latents(tmp_path / "b.h5", latents)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    again = read_latents(tmp_path / "a.h5")
    assert np.array_equal(again.rewards, latents.rewards)
    assert np.array_equal(again.means, latents.means) and again.deaths.tolist() == [True, False]


def test_truncated_file_is_named(tmp_path):
    path = tmp_path / "latents.h5"
    write_latents(path, make_latents([3, 4], [True, False]))
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match=r"latents\.h5 is not a complete HDF5 file"):
        read_latents(path)


def test_held_out_episodes_are_not_trained_on():
    trained, held_out = split_episodes(40, 0.05)
    assert not set(trained) & set(held_out)
    assert len(trained) + len(held_out) == 40
    assert len(held_out) == 2
    with pytest.raises(UserError, match="at least 2"):
        split_episodes(1, 0.05)


def test_too_little_data_says_what_to_do():
    with pytest.raises(UserError, match="fewer than one chunk"):
        Streams(make_latents([3], [True]), np.array([0]), streams=1, chunk=500, seed_words=("test",))


def test_latents_that_do_not_fit_in_memory_are_not_begun(tmp_path, monkeypatch):
    write_latents(tmp_path / "latents.h5", make_latents([4], [True]))
    monkeypatch.setattr("worldmodels.runtime.space.psutil.virtual_memory", lambda: SimpleNamespace(available=400e6))
    with pytest.raises(UserError, match=r"reading .*latents.h5 needs about 500.0 MB of memory, but only 400.0 MB"):
        read_latents(tmp_path / "latents.h5")


def test_moments_are_frames_of_all_episodes_with_what_was_before():
    """M's memory of a moment must be of that moment's episode: what was before it lies behind a restart."""
    latents = make_latents([2, 5, 3], [True] * 3)
    drawn = draw_moments(latents, 700, 4, np.random.default_rng(0))
    moments = drawn.means[:, -1, 0].astype(int)
    chosen, times = np.unique(moments, return_counts=True)
    assert chosen.tolist() == [1, 3, 4, 5, 6, 8, 9]  # first frames, 0, 2 and 7, have no past
    assert times.min() > 60 and times.max() < 140
    for row, moment in enumerate(moments):
        seen = np.arange(moment - 4, moment)
        inside = seen >= 0
        assert drawn.means[row, :-1, 0][inside].tolist() == seen[inside].tolist()
        assert drawn.actions[row, :, 0][inside] == pytest.approx(seen[inside] / 100)
        assert drawn.restarts[row][inside].tolist() == np.isin(seen[inside], [0, 2, 7]).tolist()


def test_episodes_of_one_frame_have_no_moments():
    with pytest.raises(UserError, match="no recorded episode has two frames"):
        draw_moments(make_latents([1, 1], [True, True]), 5, 4, np.random.default_rng(0))
