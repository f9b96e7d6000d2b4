"""Gymnasium environments on top of any simulator: train in a dream with any reinforcement-learning library.

Time alignment: an observation is what the controller of the paper sees, z_t with M's state BEFORE (z_t, a_t) is
consumed; the reward and the end that a step returns are those of its action.

Episodes end `terminated` on a predicted death and `truncated` after `max_steps`. `DreamVectorEnv` resets itself in
gymnasium's NEXT_STEP mode: the step after an episode's last one ignores its action, gives reward 0, and returns the
first observation of the next episode.

Importing this module registers "worldmodels/Dream-v0":

    gymnasium.make("worldmodels.simulators.environments:worldmodels/Dream-v0", folder="results/doom-laptop")
"""

from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from worldmodels.config.models import ControllerOptions
from worldmodels.models.files import load_world_model_files
from worldmodels.models.world_model import WorldModel
from worldmodels.simulators.dropout import OneDraw, with_dropout
from worldmodels.simulators.noise import RowStreams
from worldmodels.simulators.protocol import AnyState, Simulator

Observed = Literal["z", "z-h", "z-c-h", "frames"]
ENVIRONMENT_ID = "worldmodels/Dream-v0"
CAR_ACTIONS = 3
"""Steering, gas, brake."""


def load_world_model(
    experiment_folder: Path | str, seed: int = 1, device: str = "cpu", dropout: float = 0.0
) -> WorldModel:
    """Read V, M and recorded first frames of one training seed from a results folder, such as results/doom-laptop.

    dropout: share of the latent's numbers that M does not see at a step of a dream, as a variant's `dropout`.
    Raises UserError when a file is missing, damaged, or of another experiment.
    """
    folder = Path(experiment_folder) / f"seed-{seed}"
    models = folder / "models"
    loaded = load_world_model_files(
        models / "vae" / "weights.safetensors",
        models / "mdn_rnn" / "weights.safetensors",
        folder / "latents.h5",
        torch.device(device),
    )
    return with_dropout(loaded.model, dropout)


class DreamVectorEnv(VectorEnv):
    """Episodes in `num_envs` rows of one batched dream. Row i, seeded with seed + i, is `DreamEnv` with that seed.

    simulator: what is dreamt in. observed: "z", "z-h" or "z-c-h" (float32), or "frames" (H, W, C) uint8.
    """

    metadata = {  # noqa: RUF012 (as Gymnasium declares it)
        "render_modes": ["rgb_array"],
        "render_fps": 35,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        simulator: Simulator[AnyState],
        num_envs: int,
        *,
        temperature: float = 1.0,
        max_steps: int = 2100,
        observed: Observed = "z-c-h",
        render_mode: Literal["rgb_array"] | None = None,
    ) -> None:
        self.simulator, self.num_envs = simulator, num_envs
        self.temperature, self.max_steps, self.observed = temperature, max_steps, observed
        self.render_mode = render_mode
        self.single_action_space = action_space(simulator)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.single_observation_space = observation_space(simulator, observed)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._noise: RowStreams | None = None

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode in every row. A seed starts the rows' streams of random numbers; without, they go on."""
        if seed is not None or self._noise is None:
            self._noise = new_streams(self._row_seeds(seed), self.simulator)
        self._state = self.simulator.start(self._noise)
        self._steps = np.zeros(self.num_envs, dtype=np.int64)
        self._over = np.zeros(self.num_envs, dtype=bool)
        return self._observations(), {}

    def _row_seeds(self, seed: int | list[int | None] | None) -> list[int]:
        if isinstance(seed, int):
            return [seed + row for row in range(self.num_envs)]
        return [fresh_seed() if given is None else given for given in (seed or [None] * self.num_envs)]

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Imagine one step with actions of `action_space`, and begin anew in rows whose episode is over."""
        assert self._noise is not None, "reset comes first"
        over = self._over
        # One draw for all: a row takes it for its step, or for its new beginning, whatever the other rows do.
        draw = OneDraw(*self._noise.draw())
        dtype = np.int64 if self.simulator.discrete else np.float32
        taken = torch.as_tensor(np.asarray(actions, dtype)).to(draw.uniform.device)
        state = self.simulator.step(self._state, taken, self.temperature, draw)
        if over.any():
            state = state.merge(torch.from_numpy(over).to(taken.device), self.simulator.start(draw))
        self._state = state
        self._steps = np.where(over, 0, self._steps + 1)
        rewards = np.where(over, 0, self.simulator.reward(state).cpu().numpy().astype(np.float64))
        terminated = self.simulator.done(state).cpu().numpy() & ~over
        truncated = (self._steps >= self.max_steps) & ~terminated
        self._over = terminated | truncated
        return self._observations(), rewards, terminated, truncated, {}

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A frame (64, 64, 3) uint8 of each row."""
        return tuple(self.simulator.render(self._state).cpu().numpy()) if self.render_mode == "rgb_array" else None

    def _observations(self) -> np.ndarray:
        if self.observed == "frames":
            return self.simulator.render(self._state).cpu().numpy()
        features = self.simulator.features(self._state, ControllerOptions(inputs=self.observed, bias=False))
        return features.float().cpu().numpy()


class DreamEnv(gymnasium.Env):
    """One dream as an ordinary environment. Options are those of `DreamVectorEnv`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 35}  # noqa: RUF012 (as Gymnasium declares it)

    def __init__(
        self,
        simulator: Simulator[AnyState],
        *,
        temperature: float = 1.0,
        max_steps: int = 2100,
        observed: Observed = "z-c-h",
        render_mode: Literal["rgb_array"] | None = None,
    ) -> None:
        self._row = DreamVectorEnv(
            simulator,
            1,
            temperature=temperature,
            max_steps=max_steps,
            observed=observed,
            render_mode=render_mode,
        )
        self.render_mode = render_mode
        self.action_space = self._row.single_action_space
        self.observation_space = self._row.single_observation_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode on a recorded first frame. The same seed gives the same episodes from here on."""
        super().reset(seed=seed)
        observations, info = self._row.reset(seed=seed)
        return observations[0], info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Imagine one step with an action of `action_space`."""
        observations, rewards, terminated, truncated, info = self._row.step(np.asarray(action)[None])
        return observations[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> np.ndarray | None:
        """The current frame, (64, 64, 3) uint8."""
        frames = self._row.render()
        return frames[0] if frames is not None else None


def action_space(simulator: Simulator[AnyState]) -> spaces.Box | spaces.Discrete:
    """What M or a simulator of video takes: the actions of its game. A car's gas and brake are not below 0."""
    if simulator.discrete:
        return spaces.Discrete(simulator.action_size)
    low = [-1, 0, 0] if simulator.action_size == CAR_ACTIONS else [-1] * simulator.action_size
    return spaces.Box(np.array(low, np.float32), np.ones(simulator.action_size, np.float32))


def observation_space(simulator: Simulator[AnyState], observed: Observed) -> spaces.Box:
    """Space of one row's observations, found by starting a dream."""
    state = simulator.start(new_streams([0], simulator))
    if observed == "frames":
        return spaces.Box(0, 255, tuple(simulator.render(state).shape[1:]), np.uint8)
    size = simulator.features(state, ControllerOptions(inputs=observed, bias=False)).shape[1]
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


def new_streams(seeds: list[int], simulator: Simulator[AnyState]) -> RowStreams:
    """Streams of random numbers for rows with these seeds."""
    return RowStreams([("dream environment", seed) for seed in seeds], simulator.noise_size, simulator.device)


def fresh_seed() -> int:
    """A seed from the operating system, for those who asked for none, as Gymnasium does."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def make_dream(
    folder: Path | str, training_seed: int = 1, device: str = "cpu", dropout: float = 0.0, **options: Any
) -> DreamEnv:
    """Build the dream of a results folder: the entry point of "worldmodels/Dream-v0"."""
    return DreamEnv(load_world_model(folder, training_seed, device, dropout), **options)


def make_dream_vector(
    num_envs: int,
    folder: Path | str,
    training_seed: int = 1,
    device: str = "cpu",
    dropout: float = 0.0,
    **options: Any,
) -> DreamVectorEnv:
    """Build it as one batch: what `gymnasium.make_vec` calls."""
    return DreamVectorEnv(load_world_model(folder, training_seed, device, dropout), num_envs, **options)


if ENVIRONMENT_ID not in gymnasium.registry:
    gymnasium.register(
        ENVIRONMENT_ID,
        entry_point=f"{__name__}:make_dream",
        vector_entry_point=f"{__name__}:make_dream_vector",
    )
