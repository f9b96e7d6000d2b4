"""Any reinforcement-learning library can train in the dream: Gymnasium's rules, files, and a stable-baselines3 agent."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import Autoreset

from worldmodels.config.models import MDNRNNOptions, VAEOptions
from worldmodels.data.latents import Latents, write_latents
from worldmodels.errors import UserError
from worldmodels.models.files import LoadedWorldModel
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.vae import ConvVAE
from worldmodels.models.world_model import StartLatents, WorldModel
from worldmodels.runtime.files import file_checksum
from worldmodels.runtime.weights import save_weights
from worldmodels.simulators.environments import DreamEnv, DreamVectorEnv, load_world_model
from worldmodels.simulators.noise import RowStreams

LATENT, HIDDEN = 4, 8
DREAM = "worldmodels.simulators.environments:worldmodels/Dream-v0"


pytestmark = pytest.mark.usefixtures("one_thread")


def networks() -> tuple[ConvVAE, MDNRNN]:
    torch.manual_seed(1)
    vae = ConvVAE(VAEOptions(latent_size=LATENT))
    mdn_rnn = MDNRNN(MDNRNNOptions(latent_size=LATENT, hidden_size=HIDDEN, mixtures=2))
    with torch.no_grad():
        mdn_rnn.head.weight[-1] *= 8  # some dreams end early, some do not
        mdn_rnn.head.bias[-1] = -1
    return vae.eval(), mdn_rnn.eval()


def posteriors(frames: int) -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(2)
    return source.standard_normal((frames, LATENT)).astype(np.float16), np.full((frames, LATENT), -2, np.float16)


def world_model() -> WorldModel:
    parts = (torch.from_numpy(part.astype(np.float32)) for part in posteriors(12))
    return WorldModel(*networks(), StartLatents(*parts))


@pytest.fixture
def experiment(tmp_path):
    """A results folder as the stages write it, with tiny models of one training seed."""
    folder = tmp_path / "results" / "tiny"
    vae, mdn_rnn = networks()
    vae_path = folder / "seed-3" / "models" / "vae" / "weights.safetensors"
    save_weights(vae_path, vae, "vae", vae.options, {})
    checksum = file_checksum(vae_path)
    mdn_rnn_path = folder / "seed-3" / "models" / "mdn_rnn" / "weights.safetensors"
    save_weights(mdn_rnn_path, mdn_rnn, "mdn_rnn", mdn_rnn.options, {"vae": checksum})
    means, log_variances = posteriors(30)
    offsets, deaths = np.array([0, 10, 30]), np.array([True, False])
    actions, rewards = np.zeros((30, 1), np.float32), np.ones(30, np.float32)
    latents = Latents(means, log_variances, actions, rewards, offsets, deaths, checksum)
    write_latents(folder / "seed-3" / "latents.h5", latents)
    return folder


def test_memories_of_moments_are_what_m_remembers_there():
    """A dream within an episode must go on from what M saw of it, from its first frame on or for `watched` steps."""
    means, _ = posteriors(30)
    surely = np.full_like(means, -40)  # samples are means
    offsets, actions = np.array([0, 5, 30]), np.random.default_rng(3).uniform(-1, 1, (30, 1)).astype(np.float32)
    latents = Latents(means, surely, actions, np.ones(30, np.float32), offsets, np.array([True, True]), "")
    vae, mdn_rnn = networks()
    loaded = LoadedWorldModel(WorldModel(vae, mdn_rnn), vae, mdn_rnn, latents, torch.device("cpu"))
    moments = loaded.moments(40, 8, ("test",))
    assert moments.state is not None
    inputs = torch.from_numpy(means.astype(np.float32)), torch.from_numpy(actions)
    for mean, hidden, cell in zip(moments.means, *moments.state, strict=True):
        row = int((inputs[0] == mean).all(dim=1).nonzero())
        first = max(row - 8, 0 if row < 5 else 5)
        restarts = torch.zeros(1, row - first)
        restarts[0, 0] = first in (0, 5)
        with torch.no_grad():
            _, memory = mdn_rnn(*(part[None, first:row] for part in inputs), restarts)
        torch.testing.assert_close(hidden, memory.hidden[0])
        torch.testing.assert_close(cell, memory.cell[0])


@pytest.mark.filterwarnings("ignore:.*(is probably too|alternative render modes)")
@pytest.mark.parametrize("observed", ["z-c-h", "z", "frames"])
def test_gymnasium_accepts_the_dream(observed):
    """Libraries rely on Gymnasium's rules: spaces, seeding, return types."""
    env = DreamEnv(world_model(), observed=observed, max_steps=20, render_mode="rgb_array")
    check_env(env, skip_render_check=False)


def test_car_takes_what_cars_take():
    """M learned gas and brake in [0, 1]: half of [-1, 1] would lie outside all that it has seen."""
    vae, mdn_rnn = ConvVAE(VAEOptions(latent_size=LATENT)), MDNRNN(MDNRNNOptions(latent_size=LATENT, action_size=3))
    parts = (torch.from_numpy(part.astype(np.float32)) for part in posteriors(12))
    space = DreamEnv(WorldModel(vae, mdn_rnn, StartLatents(*parts))).action_space
    assert space.low.tolist() == [-1, 0, 0] and space.high.tolist() == [1, 1, 1]


def test_observation_is_what_the_controller_sees():
    """Before the first action, M remembers nothing: [z, 0, 0]."""
    env = DreamEnv(world_model())
    observation, _ = env.reset(seed=1)
    assert observation.shape == (LATENT + 2 * HIDDEN,)
    assert observation[:LATENT].any() and not observation[LATENT:].any()
    assert env.step(np.zeros(1, np.float32))[0][LATENT:].any()


def test_dreams_end_terminated_or_truncated():
    """An agent that takes a timeout for a death learns that time kills."""
    env = DreamEnv(world_model(), max_steps=25)
    env.reset(seed=1)
    env.action_space.seed(1)
    endings = set()
    for _ in range(40):
        env.reset()
        steps, ended = 0, False
        while not ended:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            steps, ended = steps + 1, terminated or truncated
            assert reward == 1
        endings.add((terminated, truncated))
        assert steps == 25 if truncated else steps <= 25
    assert endings == {(True, False), (False, True)}


def test_same_seed_same_dream_and_next_episode_differs():
    """Results must be repeatable, and an agent must not meet one dream again and again."""
    env = DreamEnv(world_model())
    first = env.reset(seed=5)[0]
    later = env.reset()[0]
    assert np.array_equal(first, env.reset(seed=5)[0])
    assert np.array_equal(later, env.reset()[0])
    assert not np.array_equal(first, later)
    assert not np.array_equal(first, env.reset(seed=6)[0])


def test_rows_of_the_vector_environment_are_single_environments():
    """Row i must live as if alone, through the ends of its own episodes and those of the other rows."""
    rows, steps = 3, 60
    vector = DreamVectorEnv(world_model(), rows, max_steps=15)
    singles = [Autoreset(DreamEnv(world_model(), max_steps=15)) for _ in range(rows)]
    together, _ = vector.reset(seed=7)
    alone = np.stack([env.reset(seed=7 + row)[0] for row, env in enumerate(singles)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    source, ends = np.random.default_rng(0), 0
    for _ in range(steps):
        actions = source.uniform(-1, 1, (rows, 1)).astype(np.float32)
        batch = vector.step(actions)
        results = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        for many, ones in zip(batch[:4], zip(*(result[:4] for result in results), strict=True), strict=True):
            np.testing.assert_allclose(many, np.stack(ones), rtol=1e-3, atol=1e-4)
        ends += int((batch[2] | batch[3]).sum())
    assert ends > 5


def test_dream_is_loaded_from_a_results_folder(experiment):
    """One line from finished results to an environment, single and batched."""
    env = gymnasium.make(DREAM, folder=experiment, training_seed=3, temperature=1.15, max_steps=9)
    observation, _ = env.reset(seed=1)
    # The first frames of the two recorded episodes are rows 0 and 10: dreams begin near one of them.
    means = posteriors(30)[0][[0, 10]].astype(np.float32)
    assert np.abs(means - observation[:LATENT]).max(axis=1).min() < 2
    batch = gymnasium.make_vec(DREAM, num_envs=2, folder=experiment, training_seed=3)
    assert batch.reset(seed=1)[0].shape == (2, LATENT + 2 * HIDDEN)
    np.testing.assert_allclose(batch.reset(seed=1)[0][0], observation, rtol=1e-5)


def test_missing_and_foreign_models_are_named(experiment):
    """A half-deleted results folder must be told in one sentence, not in a traceback."""
    with pytest.raises(UserError, match=r"seed-4.*does not exist"):
        load_world_model(experiment, seed=4)
    vae = ConvVAE(VAEOptions(latent_size=LATENT))
    path = experiment / "seed-3" / "models" / "vae" / "weights.safetensors"
    save_weights(path, vae, "vae", vae.options, {})
    with pytest.raises(UserError, match="another vae"):
        load_world_model(experiment, seed=3)


def test_observing_is_stepping_through_the_same_memory():
    """Warming up on frames must leave M where the controller of the real game would have left it."""
    model = world_model()
    torch.manual_seed(3)
    frames = torch.randint(0, 256, (2, 4, 64, 64, 3), dtype=torch.uint8)
    actions = torch.rand(2, 3, 1) * 2 - 1
    state = model.observe(frames, actions)
    noise = RowStreams([("a",), ("b",)], LATENT)
    manual = model.start_at(model.observe(frames[:, :1], actions[:, :0]).latent)
    for step in range(3):
        stepped = model.step(manual, actions[:, step], 1.0, noise)
        seen = model.observe(frames[:, step + 1 : step + 2], actions[:, :0]).latent
        manual = type(stepped)(seen, stepped.cell, stepped.hidden, stepped.restart, stepped.reward, stepped.death_logit)
    for name in ("latent", "cell", "hidden", "restart", "death_logit"):
        torch.testing.assert_close(getattr(state, name), getattr(manual, name))


def test_observing_samples_latents_when_it_may():
    """A known defect of ports: means, where M was trained on samples."""
    model = world_model()
    frames = torch.randint(0, 256, (1, 1, 64, 64, 3), dtype=torch.uint8)
    none = torch.zeros(1, 0, 1)
    mean = model.observe(frames, none).latent
    samples = [model.observe(frames, none, RowStreams([("x", row)], LATENT)).latent for row in range(2)]
    assert not torch.equal(samples[0], samples[1]) and not torch.equal(samples[0], mean)


def test_render_gives_frames():
    """Frames leave the simulator as every environment shows them: uint8, H W C."""
    model = world_model()
    frames = model.render(model.start(RowStreams([("a",), ("b",)], LATENT)))
    assert frames.shape == (2, 64, 64, 3) and frames.dtype == torch.uint8
    with torch.no_grad():
        expected = model.vae.decode(model.start(RowStreams([("a",), ("b",)], LATENT)).latent)
    assert (frames.permute(0, 3, 1, 2).float() / 255 - expected).abs().max() < 0.51 / 255


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_stable_baselines_trains_in_the_dream(experiment):
    """The promise of the README: an agent of another library learns in the dream, and then acts in it."""
    ppo = pytest.importorskip("stable_baselines3").PPO
    env = gymnasium.make(DREAM, folder=experiment, training_seed=3, max_steps=30)
    agent = ppo("MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=2, seed=1, device="cpu")
    before = [value.clone() for value in agent.policy.parameters()]
    agent.learn(256)
    assert any(not torch.equal(old, new) for old, new in zip(before, agent.policy.parameters(), strict=True))
    observation, _ = env.reset(seed=1)
    action, _ = agent.predict(observation, deterministic=True)
    assert env.action_space.contains(action)
