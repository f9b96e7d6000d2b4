"""Models from their files, checked: of the right kind, whole, and made for each other."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from worldmodels.config.models import ControllerOptions, MDNRNNOptions
from worldmodels.config.tasks import TaskOptions
from worldmodels.data.latents import Latents, draw_moments, read_latents
from worldmodels.errors import UserError
from worldmodels.models.controller import controller_size
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.models.vae import ConvVAE, sample_latents
from worldmodels.models.vae_file import load_vae
from worldmodels.models.world_model import StartLatents, WorldModel
from worldmodels.runtime.files import file_checksum, read_json
from worldmodels.runtime.weights import load_weights, read_metadata, require_same
from worldmodels.seeds import generator, integer_seed


class Controller(NamedTuple):
    """A controller and its sizes."""

    weights: np.ndarray  # (D,)
    options: ControllerOptions


def load_mdn_rnn(path: Path) -> tuple[MDNRNN, dict[str, str]]:
    """Read M and the checksums of what it was trained on. Raises UserError when the file is damaged or foreign."""
    options, inputs = read_metadata(path, "mdn_rnn", MDNRNNOptions)
    mdn_rnn = MDNRNN(options)
    load_weights(path, mdn_rnn)
    return mdn_rnn, inputs


class LoadedWorldModel(NamedTuple):
    """A world model, and what lies beside it in its folder."""

    model: WorldModel
    vae: ConvVAE
    mdn_rnn: MDNRNN
    latents: Latents | None
    device: torch.device

    def starts(self, count: int) -> StartLatents:
        """Posteriors of the first `count` recorded first frames, on the model's device. Raises UserError without any."""
        means, log_variances = (torch.from_numpy(part).to(self.device) for part in self._recorded().first_frames(count))
        return StartLatents(means, log_variances)

    def moments(self, count: int, watched: int, words: tuple[str | int, ...]) -> StartLatents:
        """Moments within recorded episodes, which M has watched for up to `watched` steps, on the model's device.

        words: name of the random numbers that choose them. Raises UserError without any.
        """
        drawn = draw_moments(self._recorded(), count, watched, generator(*words))
        means, log_variances, actions, restarts = (torch.from_numpy(part) for part in drawn)
        noise = torch.Generator().manual_seed(integer_seed(*words, "noise"))
        latents = sample_latents(means, log_variances, torch.randn(means.shape, generator=noise))[:, :-1]  # (N, W, Z)
        with torch.no_grad():
            _, state = self.mdn_rnn(*(part.to(self.device) for part in (latents, actions, restarts)))
        return StartLatents(means[:, -1].to(self.device), log_variances[:, -1].to(self.device), state)

    def _recorded(self) -> Latents:
        if self.latents is None:
            raise UserError("a dream starts from recorded frames: name their latents with --latents.")
        return self.latents

    def with_starts(self, starts: StartLatents) -> WorldModel:
        """The world model, with dreams that begin at `starts`."""
        return WorldModel(self.vae, self.mdn_rnn, starts)


def load_world_model_files(
    vae_path: Path, mdn_rnn_path: Path, latents_path: Path | None, device: torch.device
) -> LoadedWorldModel:
    """Read V, M and the latents, and make sure that they belong together. Without latents, nothing can be dreamt."""
    vae, (mdn_rnn, inputs) = load_vae(vae_path), load_mdn_rnn(mdn_rnn_path)
    checksum = file_checksum(vae_path)
    require_same(mdn_rnn_path, inputs, "vae", checksum, vae_path)
    vae, mdn_rnn = vae.to(device).eval(), mdn_rnn.to(device).eval()
    if latents_path is None:
        return LoadedWorldModel(WorldModel(vae, mdn_rnn), vae, mdn_rnn, None, device)
    latents = read_latents(latents_path)
    require_same(latents_path, {"vae": latents.vae_sha256}, "vae", checksum, vae_path)
    without_starts = LoadedWorldModel(WorldModel(vae, mdn_rnn), vae, mdn_rnn, latents, device)
    return without_starts._replace(model=without_starts.with_starts(without_starts.starts(1000)))


def require_actions(path: Path, size: int, task: TaskOptions) -> None:
    """Raise UserError unless an M of actions of `size` numbers, whose weights are in `path`, was made for such a task."""
    if task.action_size != size:
        raise UserError(
            f"{path} was trained on actions of {size} numbers, but those of {task.name} have {task.action_size}: "
            "it is of another game. Name the weights of this experiment."
        )


def load_controller(path: Path, mdn_rnn: Path) -> Controller:
    """Read a controller, and make sure that it was evolved in this M."""
    content = read_json(path)
    try:
        weights = np.asarray(content["weights"], dtype=np.float64)
        options = ControllerOptions.model_validate(content["options"])
        checksum = content["mdn_rnn_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not a controller of this version ({error}). Delete it to evolve it again."
        ) from None
    require_same(path, {"mdn_rnn": checksum}, "mdn_rnn", file_checksum(mdn_rnn), mdn_rnn)
    sizes, _ = read_metadata(mdn_rnn, "mdn_rnn", MDNRNNOptions)
    size = controller_size(options, sizes.latent_size, sizes.hidden_size, sizes.action_size)
    if weights.shape != (size,) or not np.isfinite(weights).all():
        raise UserError(
            f"{path} has weights of shape {weights.shape}, where such a controller has {size} finite numbers: it is "
            "damaged. Delete it to evolve it again."
        )
    return Controller(weights, options)


def load_agent(
    vae: Path | None,
    mdn_rnn: Path | None,
    controller: Path | None,
    task: TaskOptions,
    device: torch.device,
    latents: Path | None = None,
) -> tuple[LoadedWorldModel, Controller]:
    """Read V, M and C, and make sure that they belong together and play `task`. Raises UserError where one is not named."""
    if vae is None or mdn_rnn is None or controller is None:
        raise UserError("an evolved agent is three files: name --vae, --mdn-rnn and --controller.")
    world_model = load_world_model_files(vae, mdn_rnn, latents, device)
    require_actions(mdn_rnn, world_model.mdn_rnn.options.action_size, task)
    return world_model, load_controller(controller, mdn_rnn)
