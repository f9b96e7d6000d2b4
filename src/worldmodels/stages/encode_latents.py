"""Encode every frame of the data set: mean and log-variance of its latent (M samples from them anew in each batch)."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
import torch

from worldmodels.config.blocks import EncodeLatentsBlock
from worldmodels.data.latents import WORKING_BYTES, Latents, latents_bytes, write_latents
from worldmodels.data.rollouts import RolloutFrames
from worldmodels.models.vae import ConvVAE, observations_from_frames
from worldmodels.models.vae_file import load_vae
from worldmodels.runtime.device import autocast, matmul_dtype, resolve_device
from worldmodels.runtime.files import file_checksum, readable_disk_errors
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.space import require_memory
from worldmodels.runtime.state import StateFolder
from worldmodels.runtime.workers import work_side_by_side, workers_on
from worldmodels.stages.stage import RolloutStage, input_file, output_file
from worldmodels.stages.stage import main as run_stage

BATCH_FRAMES = 256
WORKER_BYTES = 90_000_000
"""Memory for each batch that is encoded at once."""


class EncodeLatents(RolloutStage):
    """Options of encode_latents."""

    Block: ClassVar = EncodeLatentsBlock
    uses_gpu = True

    vae: Path = input_file("The VAE's weights")
    output: Path = output_file("Latents of all frames, HDF5")

    def run(self) -> None:
        """Encode batch by batch."""
        device = resolve_device(self.device)
        dtype = matmul_dtype(self.block().precision, device)
        frames = RolloutFrames(self.shard_paths())
        vae = load_vae(self.vae).to(device).eval()
        needed = latents_bytes(len(frames), vae.options.latent_size) + WORKING_BYTES + workers_on(device) * WORKER_BYTES
        require_memory(needed, f"encoding {len(frames):,} frames")
        posteriors = encode_all(vae, frames, dtype, self.state)
        means, log_variances = np.split(posteriors, 2, axis=1)
        latents = Latents(
            means,
            log_variances,
            frames.actions,
            frames.rewards,
            frames.episode_offsets,
            frames.deaths,
            file_checksum(self.vae),
        )
        write_latents(self.output, latents)


def encode_all(vae: ConvVAE, frames: RolloutFrames, dtype: torch.dtype, state: StateFolder) -> np.ndarray:
    """Posteriors of all frames, (N, 2 Z) float16, going on from the last checkpoint in `state`."""
    posteriors = np.empty((len(frames), 2 * vae.options.latent_size), np.float16)
    log = state.path / "posteriors.float16"
    with readable_disk_errors(log), log.open("a+b") as file:
        saved = done = _restore(state, file, posteriors)
        with Progress("encode_latents", len(frames), "frames", state, done) as progress:
            for batch in encode_batches(vae, frames, dtype, done):
                first, done = done, done + len(batch)
                posteriors[first:done] = batch
                progress.advance(len(batch))
                if state.due:
                    _checkpoint(state, file, posteriors[saved:done], done)
                    saved = done
                    state.leave_if_stopped()
    return posteriors


def _checkpoint(state: StateFolder, file: BinaryIO, new: np.ndarray, done: int) -> None:
    """Append the posteriors since the last checkpoint, (n, 2 Z), and note how many there are."""
    began = time.monotonic()
    file.write(new.tobytes())
    file.flush()
    os.fsync(file.fileno())
    state.save({}, {"frames": done}, began)


def _restore(state: StateFolder, file: BinaryIO, posteriors: np.ndarray) -> int:
    """Read back what the last checkpoint has into `posteriors`; returns the number of frames that need no encoding."""
    found = state.load()
    frames = found[1]["frames"] if found is not None else 0
    size = frames * posteriors[:1].nbytes
    if os.fstat(file.fileno()).st_size < size:
        frames = size = 0
    file.truncate(size)  # what came after the checkpoint is encoded again
    file.seek(0)
    posteriors[:frames] = np.frombuffer(file.read(size), np.float16).reshape(frames, posteriors.shape[1])
    return frames


def encode_batches(vae: ConvVAE, frames: RolloutFrames, dtype: torch.dtype, first: int = 0) -> Iterator[np.ndarray]:
    """Posteriors (B, 2 Z) of all frames from `first` on, BATCH_FRAMES at a time; the next batches are read meanwhile."""
    starts = range(first, len(frames), BATCH_FRAMES)
    batches = (frames.read(start, min(start + BATCH_FRAMES, len(frames))) for start in starts)
    return work_side_by_side(lambda batch: encode(vae, batch, dtype), batches, workers_on(vae.mean.weight.device))


@torch.inference_mode()
def encode(vae: ConvVAE, frames: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """Mean and log-variance, side by side (B, 2 Z) float16, of frames (B, 64, 64, 3) uint8."""
    device = vae.mean.weight.device  # with its number: in a thread of its own, a GPU without one would be the first
    observations = observations_from_frames(torch.from_numpy(frames).to(device))  # (B, 3, 64, 64)
    with autocast(device, dtype):
        posterior = vae.encode(observations)
    return torch.cat(posterior, dim=1).half().cpu().numpy()


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(EncodeLatents, arguments)
