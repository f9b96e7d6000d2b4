"""Atari shards: equal to the emulator's own frames, killed and resumed, and windows that stay within an episode."""

import os

import h5py
import numpy as np
import pytest
import torch

from worldmodels.config.atari import AgentOptions, AtariShardOptions, OnlineOptions
from worldmodels.config.tasks import AtariOptions
from worldmodels.data.atari import (
    NO_ACTION,
    AtariFacts,
    AtariRecord,
    AtariStore,
    ScreenCompressor,
    open_atari_shard,
    take_differences,
    undo_differences,
    write_atari_shard,
)
from worldmodels.data.atari_collection import ShardCollection, collect_atari_shard, episode_seed
from worldmodels.data.atari_online import OnlineWindows
from worldmodels.data.atari_windows import AtariWindows
from worldmodels.envs.atari import AtariGame
from worldmodels.envs.atari.colours import read_both
from worldmodels.envs.atari.emulator import Console
from worldmodels.envs.atari.eyes import grey_frames
from worldmodels.errors import UserError
from worldmodels.models.atari_agent import AtariAgent, load_agent, save_agent
from worldmodels.runtime.stop import Interrupted
from worldmodels.seeds import COLLECTION_SEEDS, generator

PACMAN = AtariOptions(game="ms_pacman", max_frames=280)
"""Episodes of at most 70 steps."""
OPTIONS = AtariShardOptions(task=PACMAN, epsilon=0.0, uses_agent=False, frames_per_shard=400, parallel_games=2, seed=0)


def make_agent(path, game="ms_pacman", codes=(0, 2, 3, 4, 5), algorithm="dqn"):
    torch.manual_seed(0)
    save_agent(path, AtariAgent(AgentOptions(algorithm=algorithm, game=game, action_codes=codes)))
    return path


@pytest.fixture
def shard(tmp_path, state):
    """A shard of real Ms Pacman: 400 frames, seven or so episodes."""
    path = tmp_path / "train-000.h5"
    collect_atari_shard(path, "train-000", OPTIONS, None, state)
    return path


def test_replayed_episodes_are_the_stored_ones(shard):
    """The same no-ops and actions give the stored screens to the last bit, with the result of action t at t + 1."""
    store, console = AtariStore([shard]), Console(PACMAN)
    with open_atari_shard(shard) as file:
        noops, offsets = file["noops"][:], file["episode_offsets"][:]
    assert len(noops) >= 6
    for start, stop, count in zip(offsets[:-1], offsets[1:], noops, strict=True):
        console.reset(int(count))
        screens, actions = store.screens(start, stop), store.facts("actions", start, stop)
        assert np.array_equal(store.colours[screens[0]], read_both(console)[1])
        for t in range(stop - start - 1):
            step = console.step(int(actions[t]))
            screen, picture = read_both(console)
            assert np.array_equal(screens[t + 1], screen) and np.array_equal(store.colours[screen], picture)
            facts = [store.facts(name, start + t, start + t + 1)[0] for name in ("rewards", "dones", "life_losses")]
            assert facts == [step.reward, step.ended, step.life_lost]
        assert actions[-1] == NO_ACTION
    assert store.facts("rewards", 0, 400).max() >= 10


def test_history_leads_to_any_row(shard):
    """A game that is put where a recorded episode was shows what was recorded there; also in a second shard."""
    store = AtariStore([shard, shard])
    rows = [0, 5, int(store.episode_offsets[2]), int(store.episode_offsets[3]) - 1, 399, 400, 700]
    with AtariGame(PACMAN) as game:
        for row in rows:
            noops, actions = store.history(row)
            assert NO_ACTION not in actions and len(actions) <= row
            assert np.array_equal(game.replay(noops, actions.tolist()), store.colours[store.screens(row, row + 1)[0]])


def test_shifting_actions_by_one_would_be_seen(shard):
    """The replay above must be able to fail: with each action a step late, the screens differ."""
    store, console = AtariStore([shard]), Console(PACMAN)
    with open_atari_shard(shard) as file:
        noops, stop = int(file["noops"][0]), int(file["episode_offsets"][1])
    screens, actions = store.screens(0, stop), store.facts("actions", 0, stop)
    console.reset(noops)
    late = []
    for action in (0, *actions[:-2]):
        console.step(int(action))
        late.append(read_both(console)[0])
    assert not np.array_equal(screens[1:], late)


def test_differences_are_undone():
    screens = generator("test").integers(256, size=(25, 4, 3), dtype=np.uint8)
    chunk = take_differences(screens)
    assert not np.array_equal(chunk, screens) and np.array_equal(chunk[0], screens[0])
    undo_differences(chunk)
    assert np.array_equal(chunk, screens)


def test_frames_are_small_on_disk(shard):
    """At most 300 bytes for 33,600 pixels; most games need far less."""
    with h5py.File(shard) as file:
        assert file["screens"].id.get_storage_size() / 400 < 300


@pytest.mark.parametrize(
    ("policy", "game"),
    [
        ("random", "qbert"),
        pytest.param("random", "freeway", marks=pytest.mark.slow),
        pytest.param("dqn", "ms_pacman", marks=pytest.mark.slow),
        ("a2c", "ms_pacman"),
    ],
)
def test_collection_that_was_killed_ends_with_the_same_bytes(state, tmp_path, monkeypatch, policy, game):
    agent = None if policy == "random" else make_agent(tmp_path / "agent.safetensors", algorithm=policy)
    task = PACMAN.model_copy(update={"game": game})
    options = OPTIONS.model_copy(update={"uses_agent": agent is not None, "epsilon": 0.3, "task": task})
    collect_atari_shard(tmp_path / "undisturbed.h5", "train-000", options, agent, state)
    for file in state.path.glob("*.safetensors"):
        file.unlink()
    real = ShardCollection.advance

    def advance_and_stop(self):
        real(self)
        if self.row == 83:
            state.stop.reason = "test"

    monkeypatch.setattr(ShardCollection, "advance", advance_and_stop)
    with pytest.raises(Interrupted):
        collect_atari_shard(tmp_path / "resumed.h5", "train-000", options, agent, state)
    state.stop.reason = None
    monkeypatch.setattr(ShardCollection, "advance", real)
    with (state.path / "screens.chunks").open("ab") as file:
        file.write(b"what a kill leaves behind after the checkpoint")
    collect_atari_shard(tmp_path / "resumed.h5", "train-000", options, agent, state)
    assert (tmp_path / "resumed.h5").read_bytes() == (tmp_path / "undisturbed.h5").read_bytes()


def test_agent_acts_on_the_frames_that_are_stored(state, tmp_path):
    """Without noise, every action must be the agent's answer to the stored grey frames before it."""
    path = make_agent(tmp_path / "agent.safetensors")
    options = OPTIONS.model_copy(update={"uses_agent": True, "frames_per_shard": 100})
    collect_atari_shard(tmp_path / "train-000.h5", "train-000", options, path, state)
    store = AtariStore([tmp_path / "train-000.h5"])
    agent = load_agent(path)
    stop = int(store.episode_offsets[1])
    greys = grey_frames(
        store.screens(0, stop), np.round(store.colours @ [0.299, 0.587, 0.114]).astype(np.uint8)[:, None]
    )
    actions = store.facts("actions", 0, stop)
    for t in range(3, stop - 1):
        scores = agent(torch.from_numpy(greys[None, t - 3 : t + 1]))
        assert agent.options.action_codes[int(scores.argmax())] == actions[t]


def test_noise_is_uniform_and_as_frequent_as_asked(state, tmp_path):
    """An agent of one action, ε = 0.5: that action in half the steps and its share of the rest."""
    path = make_agent(tmp_path / "agent.safetensors", codes=(3,))
    options = OPTIONS.model_copy(update={"uses_agent": True, "epsilon": 0.5, "frames_per_shard": 1000})
    collect_atari_shard(tmp_path / "train-000.h5", "train-000", options, path, state)
    actions = AtariStore([tmp_path / "train-000.h5"]).facts("actions", 0, 1000)
    counts = np.bincount(actions[actions != NO_ACTION], minlength=18) / (actions != NO_ACTION).sum()
    assert abs(counts[3] - (0.5 + 0.5 / 18)) < 0.07
    assert (np.delete(counts, 3) > 0).all()


@pytest.mark.parametrize(
    ("agent", "words"),
    [({"game": "pong"}, "agent of 'pong', not of 'ms_pacman'"), ({"codes": (0, 17)}, r"actions \[17\]")],
)
def test_agent_of_another_game_or_of_more_actions_is_refused(state, tmp_path, agent, words):
    path = make_agent(tmp_path / "agent.safetensors", **agent)
    task = PACMAN.model_copy(update={"actions": "minimal"})
    options = OPTIONS.model_copy(update={"uses_agent": True, "task": task})
    with pytest.raises(UserError, match=words):
        collect_atari_shard(tmp_path / "train-000.h5", "train-000", options, path, state)


def test_agent_of_another_frame_repeat_is_refused(state, tmp_path):
    path = make_agent(tmp_path / "agent.safetensors")
    task = PACMAN.model_copy(update={"frame_repeat": 2})
    options = OPTIONS.model_copy(update={"uses_agent": True, "task": task})
    with pytest.raises(UserError, match="frame_repeat 4, but is to play with 2"):
        collect_atari_shard(tmp_path / "train-000.h5", "train-000", options, path, state)


def test_shards_share_no_episode():
    seeds = [
        episode_seed(OPTIONS.model_copy(update={"seed": seed}), name, attempt)
        for seed in (0, 1, 99)
        for name in ("train-000", "train-001", "train-999", "test-000", "test-999")
        for attempt in (0, 1, 4999)
    ]
    assert len(set(seeds)) == len(seeds) and max(seeds) in COLLECTION_SEEDS
    with pytest.raises(UserError, match="'third-000' is not a shard's name"):
        episode_seed(OPTIONS, "third-000", 0)


def test_too_little_disk_is_found_before_the_first_frame(state, tmp_path):
    huge = OPTIONS.model_copy(update={"frames_per_shard": 10**12})
    with pytest.raises(UserError, match=r"needs about .* of disk"):
        collect_atari_shard(tmp_path / "train-000.h5", "train-000", huge, None, state)


def make_shard(path, lengths=(30, 20), game="pong", start=0):
    """Screens of 4 x 6 pixels of the number start + row; action row % 5, reward the row; the first episode ends."""
    rows = sum(lengths)
    assert rows % 25 == 0
    screens = np.zeros((rows, 4, 6), np.uint8) + (start + np.arange(rows)).astype(np.uint8)[:, None, None]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    actions, dones = (np.arange(rows) % 5).astype(np.int8), np.zeros(rows, bool)
    actions[offsets[1:] - 1], dones[offsets[1] - 2] = NO_ACTION, True
    zeros = np.zeros(len(lengths), np.int64)
    facts = AtariFacts(actions, np.arange(rows, dtype=np.float32), dones, dones, offsets, zeros, zeros)
    colours = np.stack([np.arange(256), 255 - np.arange(256), np.zeros(256)], axis=1).astype(np.uint8)
    compressor = ScreenCompressor((4, 6))
    chunks = ((row, compressor.compress(screens[row : row + 25])) for row in range(0, rows, 25))
    write_atari_shard(path, chunks, facts, AtariRecord(game, tuple(range(6)), colours, "{}", path.stem), (4, 6))
    return path


def test_every_window_lies_within_an_episode(tmp_path):
    """Episodes of 30 and 20 rows, windows of 12 steps: they begin at rows 0-17 and 30-37, each is there once."""
    paths = [make_shard(tmp_path / "train-000.h5"), make_shard(tmp_path / "train-001.h5", (25,), start=100)]
    windows = AtariWindows(paths, 4, 12, ("test",))
    rows = [windows.first_row(number) for number in range(windows.count)]
    assert rows == [*range(18), *range(30, 38), *range(50, 63)]


def test_window_is_what_its_docstring_says(tmp_path):
    """Frame t shows row t, action and reward t were there, and only the last step can be an end."""
    windows = AtariWindows([make_shard(tmp_path / "train-000.h5")], 4, 12, ("test",))
    one = windows.read([17, 30])
    assert one.frames.shape == (2, 13, 4, 6, 3) and one.frames.dtype == torch.uint8
    assert one.frames[0, :, 0, 0, 0].tolist() == list(range(17, 30))
    assert one.frames[1, :, 3, 5, 1].tolist() == [255 - row for row in range(30, 43)]
    assert one.actions.dtype == torch.int64 and one.actions[0].tolist() == [row % 5 for row in range(17, 29)]
    assert one.rewards.dtype == torch.float32 and one.rewards[1].tolist() == list(range(30, 42))
    assert one.dones.dtype == torch.bool and one.dones.tolist() == [[False] * 11 + [True], [False] * 12]


def test_batches_are_functions_of_their_number(tmp_path):
    """A training that goes on at batch 5 sees what an undisturbed one sees there."""
    path = make_shard(tmp_path / "train-000.h5")
    one, other = (AtariWindows([path], 4, 12, ("test", seed)) for seed in (1, 1))
    undisturbed = one.iterate()
    for _ in range(5):
        next(undisturbed)
    resumed = other.iterate(first=5)
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(next(undisturbed), next(resumed), strict=True))
    third = AtariWindows([path], 4, 12, ("test", 2))
    assert not np.array_equal(third.numbers(0), one.numbers(0))


def test_resolutions_are_made_of_the_same_screens(shard):
    native, grey, small = (
        AtariWindows([shard], 2, 10, ("test",), name).batch(0) for name in ("native", "grey84", "rgb96")
    )
    assert native.frames.shape == (2, 11, 210, 160, 3)
    assert grey.frames.shape == (2, 11, 84, 84, 1) and small.frames.shape == (2, 11, 96, 96, 3)
    assert torch.equal(native.actions, grey.actions) and torch.equal(native.rewards, small.rewards)
    mean = native.frames.double().mean(dim=(2, 3))
    assert torch.allclose(small.frames.double().mean(dim=(2, 3)), mean, atol=0.5)
    luminance = mean @ torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    assert torch.allclose(grey.frames.double().mean(dim=(2, 3))[..., 0], luminance, atol=1)


def test_windows_that_no_episode_holds_are_refused(tmp_path):
    with pytest.raises(UserError, match="no window of 40 steps"):
        AtariWindows([make_shard(tmp_path / "train-000.h5")], 4, 40, ("test",))


def test_shards_of_two_games_do_not_mix(tmp_path):
    paths = [make_shard(tmp_path / "train-000.h5"), make_shard(tmp_path / "train-001.h5", game="qbert")]
    with pytest.raises(UserError, match=r"train-001\.h5 holds qbert .* pong"):
        AtariStore(paths)


def test_truncated_and_missing_files_are_named(tmp_path):
    path = make_shard(tmp_path / "train-000.h5")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match=r"train-000\.h5 is not a complete HDF5 file .* only this shard is collected"):
        AtariStore([path])
    with pytest.raises(UserError, match=r"test-000\.h5 does not exist"):
        AtariStore([tmp_path / "test-000.h5"])


def test_chunk_that_cannot_be_decoded_is_named(tmp_path):
    path = make_shard(tmp_path / "train-000.h5")
    with h5py.File(path, "r+") as file:
        file["screens"].id.write_direct_chunk((0, 0, 0), b"no zstd frame")
    store = AtariStore([path])
    with pytest.raises(UserError, match=r"train-000\.h5 is not a complete HDF5 file"):
        store.screens(0, 5)


def late_actions(file):
    file["actions"][:] = np.roll(file["actions"][:], 1)


def foreign_action(file):
    file["actions"][0] = 6


def fewer_rewards(file):
    del file["rewards"]
    file["rewards"] = np.ones(3, np.float32)


@pytest.mark.parametrize("damage", [late_actions, foreign_action, fewer_rewards])
def test_shard_that_contradicts_itself_is_refused(tmp_path, damage):
    """It would train a model on the wrong actions without a word."""
    path = make_shard(tmp_path / "train-000.h5")
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(UserError, match=r"train-000\.h5 is not consistent"):
        AtariStore([path])


def online(memory=120, **changes):
    choice = OnlineOptions(memory=memory, first_frames=60, rows_per_batch=3)
    return OnlineWindows(OPTIONS.model_copy(update=changes), None, choice, 4, 10, ("test",))


def test_online_windows_are_what_was_played():
    """Every window of the bounded memory, also where it wraps around, replays on the emulator to the last bit."""
    windows, console = online(), Console(PACMAN)
    for number in range(30):
        batch = windows.batch(number)
    assert windows.played == 30 + 29 * 3 > windows.length
    players = windows._play.players
    compared, pictures = 0, set()
    for player in players:
        spans = zip(player.rows, [*player.rows[1:], windows.played], player.noops, strict=True)
        for start, stop, noops in spans:
            if start < windows.played - windows.length:
                continue
            console.reset(noops)
            for row in range(start, stop):
                screen, picture = read_both(console)
                place = row % windows.length
                assert np.array_equal(windows._screens[player.number, place], screen)
                compared, pictures = compared + 1, pictures | {picture.tobytes()}
                action = windows._rows.actions[player.number, place]
                if action != NO_ACTION:
                    console.step(int(action))
    assert compared > 30 and len(pictures) > 10
    game, places = windows._draw(generator("test"))
    shown = windows._read([(game, places)])
    assert np.array_equal(shown.frames[0], windows._play.colours.rgb[windows._screens[game, places]])
    assert shown.actions[0].tolist() == windows._rows.actions[game, places[:-1]].tolist()
    assert batch.frames.shape == (4, 11, 210, 160, 3) and batch.actions.shape == (4, 10)
    assert (batch.actions >= 0).all() and not batch.dones[:, :-1].any()


def test_online_memory_is_bounded_and_keeps_the_newest():
    windows = online(memory=60)
    for number in range(12):
        windows.batch(number)
    rng = generator("test")
    assert windows._screens.shape == (2, 30, 210, 160) and windows.played == 63
    ages = [
        windows.played - 1 - ((windows.played - 1 - places[0]) % 30)
        for _, places in (windows._draw(rng) for _ in range(200))
    ]
    assert min(ages) >= windows.played - 30


def test_online_source_goes_on_with_new_episodes():
    """After a kill it begins again from the batch number: other episodes than the first, the same for the same number."""
    seeds = []
    for first in (0, 5, 5):
        windows = online()
        source = windows.iterate(first)
        next(source)
        source.close()
        seeds.append(windows._play.players[0].seeds[0])
    assert seeds[0] != seeds[1] == seeds[2]


def test_online_memory_too_small_for_a_window_is_refused():
    with pytest.raises(UserError, match="too few for windows of 10 steps"):
        online(memory=20)
