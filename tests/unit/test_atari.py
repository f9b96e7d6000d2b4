"""The Atari console: episodes that can be replayed, exact colours, and small pictures that agents and data sets share."""

import numpy as np
import pytest
import torch
from ale_py.vector_env import AtariVectorEnv

from worldmodels.config.tasks import AtariOptions
from worldmodels.envs.atari import action_from_unit, resize_frames
from worldmodels.envs.atari.colours import Colours, read_both
from worldmodels.envs.atari.emulator import Console, noop_frames
from worldmodels.envs.atari.eyes import Eyes, grey_frames
from worldmodels.envs.atari.game import AtariGame
from worldmodels.envs.atari.screens import area_weights, look_up, look_up_on_device, parse_resolution, shrink
from worldmodels.envs.games import Games
from worldmodels.errors import UserError
from worldmodels.seeds import generator


def play(console, noops, actions):
    """Screens and steps of an episode."""
    console.reset(noops)
    seen = [read_both(console)[0]]
    steps = []
    for action in actions:
        steps.append(console.step(action))
        seen.append(read_both(console)[0])
        if steps[-1].ended:
            break
    return np.stack(seen), steps


def random_actions(count, seed=0):
    return generator("test", seed).integers(18, size=count).tolist()


@pytest.mark.parametrize("game", ["freeway", "fishing_derby", "surround", "seaquest"])
def test_episode_does_not_depend_on_the_one_before(game):
    """In these games ALE's own reset carries the last episode over: the same seed would give other frames."""
    console = Console(AtariOptions(game=game))
    first, steps = play(console, 7, random_actions(60))
    play(console, 3, random_actions(90, seed=1))
    again, same_steps = play(console, 7, random_actions(60))
    assert np.array_equal(first, again) and steps == same_steps
    other, _ = play(Console(AtariOptions(game=game)), 7, random_actions(60))
    assert np.array_equal(first, other)
    assert len(np.unique(first.reshape(len(first), -1), axis=0)) > 5


@pytest.mark.parametrize("noops", [0, 1, 2, 3, 10])
def test_first_episode_of_a_console_is_like_all_others(noops):
    """In Qbert a fresh emulator, restored from its own state, plays and shows another game than one that has played."""
    settled = Console(AtariOptions(game="qbert"))
    play(settled, 1, random_actions(100, seed=1))
    fresh = Console(AtariOptions(game="qbert"))
    (ours, steps), (theirs, same_steps) = (play(one, noops, random_actions(80)) for one in (settled, fresh))
    assert np.array_equal(ours, theirs) and steps == same_steps


def test_new_episode_shows_its_own_first_screen():
    """ALE goes on showing the last episode's screen until it draws a frame, and without no-ops none is drawn."""
    console = Console(AtariOptions(game="seaquest"))
    console.reset(0)
    first = read_both(console)
    play(console, 5, random_actions(40))
    assert not np.array_equal(read_both(console)[0], first[0])
    console.reset(0)
    assert all(np.array_equal(one, other) for one, other in zip(read_both(console), first, strict=True))


def test_only_the_fourth_frame_is_seen_and_nothing_is_maximised():
    """The same screens as ale-py's own vector environment shows with every convenience switched off."""
    settings = {
        "maxpool": False,
        "noop_max": 0,
        "reward_clipping": False,
        "use_fire_reset": False,
        "full_action_space": True,
    }
    shape = {"img_height": 210, "img_width": 160, "grayscale": False, "stack_num": 1, "frameskip": 4}
    theirs = AtariVectorEnv("ms_pacman", 1, num_threads=1, repeat_action_probability=0.0, **settings, **shape)
    console = Console(AtariOptions(game="ms_pacman"))
    console.reset(0)
    shown = theirs.reset(seed=0)[0]
    for action in random_actions(100):
        assert np.array_equal(shown[0, 0], read_both(console)[1])
        step = console.step(action)
        shown, rewards, ended, _, info = theirs.step(np.array([action]))
        assert (step.reward, step.ended, console.lives) == (rewards[0], ended[0], info["lives"][0])


def test_rewards_are_not_clipped_and_lives_are_counted():
    console = Console(AtariOptions(game="ms_pacman"))
    _, steps = play(console, 1, random_actions(600))
    assert max(step.reward for step in steps) >= 10
    assert sum(step.life_lost for step in steps) >= 2


def test_lost_life_ends_the_episode_only_if_asked():
    """Pacman has three lives: an episode is the whole game unless the options say otherwise."""
    ends = {}
    for choice in (False, True):
        _, steps = play(Console(AtariOptions(game="ms_pacman", life_loss_ends=choice)), 1, random_actions(2000))
        ends[choice] = sum(step.life_lost for step in steps)
        assert steps[-1].ended
    assert ends == {True: 1, False: 3}


def test_episode_that_is_cut_off_did_not_end():
    console = Console(AtariOptions(game="pong", max_frames=40))
    _, steps = play(console, 4, random_actions(10))
    assert [step.timed_out for step in steps] == [False] * 8 + [True] * 2
    assert not any(step.ended for step in steps)


def test_noops_are_drawn_from_one_to_the_most():
    rng = generator("test")
    drawn = {noop_frames(AtariOptions(noop_max=5), rng) for _ in range(200)}
    assert drawn == {1, 2, 3, 4, 5}
    assert noop_frames(AtariOptions(noop_max=0), rng) == 0


def test_action_sets_are_ales():
    assert Console(AtariOptions(game="breakout", actions="minimal")).action_codes == (0, 1, 3, 4)
    assert Console(AtariOptions(game="breakout")).action_codes == tuple(range(18))


@pytest.mark.parametrize("game", ["riverraid", "ms_pacman", "air_raid", "sir_lancelot"])
def test_colours_and_greys_are_the_emulators(game):
    """NTSC games have their table from the start; a European one (air_raid) teaches its own, and one whose first screen is black."""
    console = Console(AtariOptions(game=game))
    console.reset(0)
    colours = Colours.of(console)
    assert colours.complete == (game in ("riverraid", "ms_pacman"))
    for action in random_actions(60):
        console.step(action)
        screen, picture = read_both(console)
        colours.learn(console, screen)
        assert np.array_equal(colours.rgb[screen], picture)
        # European greys of ALE are not the luminance of its colours; ours are.
        assert not colours.complete or np.array_equal(colours.grey[screen][..., 0], console._ale.getScreenGrayscale())


def test_look_ups_agree():
    rng = generator("test")
    screens, table = rng.integers(256, size=(3, 4, 5), dtype=np.uint8), rng.integers(256, size=(256, 3), dtype=np.uint8)
    expected = table[screens].transpose(0, 3, 1, 2)
    assert np.array_equal(look_up(screens, table), expected)
    assert np.array_equal(look_up_on_device(torch.from_numpy(screens), torch.from_numpy(table)), expected)


def test_small_pictures_are_means_over_areas():
    """5 pixels as 2: the middle one belongs to both by halves. (0 0 10 20 20) has means 2 and 18."""
    rows, total = area_weights(5, 2)
    assert rows.tolist() == [[2, 2, 1, 0, 0], [0, 0, 1, 2, 2]] and total == 5
    line = torch.tensor([0, 0, 10, 20, 20], dtype=torch.uint8).expand(5, 5)
    assert shrink(line, 2).tolist() == [[2, 18], [2, 18]]
    flat = torch.full((2, 3, 210, 160), 255, dtype=torch.uint8)
    assert shrink(flat, 84).shape == (2, 3, 84, 84) and (shrink(flat, 96) == 255).all()


def test_small_pictures_are_opencvs_but_for_rounding():
    """What every agent of the literature sees, within one level of grey."""
    settings = {"maxpool": False, "noop_max": 0, "reward_clipping": False, "use_fire_reset": False, "stack_num": 1}
    theirs = AtariVectorEnv("seaquest", 1, num_threads=1, repeat_action_probability=0.0, **settings)
    console = Console(AtariOptions(game="seaquest"))
    console.reset(0)
    shown, screen = theirs.reset(seed=0)[0][0, 0], read_both(console)[0]
    grey = grey_frames(screen[None], Colours.of(console).grey)[0]
    assert np.abs(grey.astype(int) - shown).max() <= 1


def test_pictures_do_not_depend_on_the_batch():
    """An agent sees frames one at a time, a data set is read many at once: the same frames to the last bit."""
    screens = generator("test").integers(256, size=(7, 210, 160), dtype=np.uint8)
    grey = generator("test").integers(256, size=(256, 1), dtype=np.uint8)
    together = grey_frames(screens, grey)
    assert all(
        np.array_equal(grey_frames(one[None], grey)[0], both) for one, both in zip(screens, together, strict=True)
    )


def test_eyes_keep_four_frames_and_forget_at_a_start():
    eyes = Eyes(2)
    for number in range(1, 6):
        seen = eyes.see(np.full((2, 84, 84), number, np.uint8), np.array([False, number == 4]))
    assert seen[:, :, 0, 0].tolist() == [[2, 3, 4, 5], [0, 0, 4, 5]]


def test_resolutions_are_named():
    assert parse_resolution("native").shape((210, 160)) == (210, 160, 3)
    assert parse_resolution("grey84").shape((210, 160)) == (84, 84, 1)
    assert parse_resolution("rgb96").shape((210, 160)) == (96, 96, 3)
    with pytest.raises(UserError, match="no resolution 'blue84'"):
        parse_resolution("blue84")


def test_one_of_many_games_acts_by_index_and_refuses_what_is_no_action():
    with AtariGame(AtariOptions(game="pong", actions="minimal")) as game:
        first = game.reset(3)
        assert np.array_equal(game.reset(3), first) and first.shape == (210, 160, 3)
        assert not game.step(np.array([2.0])).ended
        for wrong in ([6.0], [-1.0], [0.5], [float("nan")], [1.0, 2.0]):
            with pytest.raises(UserError, match="from 0 to 5"):
                game.step(np.array(wrong))
    assert action_from_unit(np.array([[-1.0], [0.0], [1.0]])).tolist() == [[0], [9], [17]]


def test_many_games_play_as_a_batch():
    """Behind the interface of all tasks: the frames of each slot are its own game's, made small."""
    options = AtariOptions(game="ms_pacman", actions="minimal")
    with Games(options, 2, 1) as games, AtariGame(options) as alone:
        games.reset([0, 1], [5, 6])
        alone.reset(5)
        for action in (1.0, 2.0, 3.0) * 4:
            result = games.step(np.full((2, 1), action, np.float32), np.array([True, True]))
            step = alone.step(np.array([action]))
            assert (result.rewards[0], result.ended[0]) == (step.reward, step.ended)
        assert np.array_equal(games.frames[0], resize_frames(alone.screen()[None], 64)[0])
        with pytest.raises(UserError, match="is not an action of ms_pacman"):
            games.step(np.full((2, 1), 9, np.float32), np.array([True, True]))
