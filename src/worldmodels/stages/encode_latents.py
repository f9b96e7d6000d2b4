"""Encode every frame of the data set: mean and log-variance of its latent (M samples from them anew in each batch)."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from worldmodels.config.blocks import EncodeLatentsBlock
from worldmodels.data.latents import WORKING_BYTES, Latents, latents_bytes, write_latents
from worldmodels.data.prefetch import prefetch
from worldmodels.data.rollouts import RolloutFrames
from worldmodels.models.vae import ConvVAE, observations_from_frames
from worldmodels.models.vae_file import load_vae
from worldmodels.runtime.device import autocast, matmul_dtype, resolve_device
from worldmodels.runtime.files import file_checksum
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.space import require_memory
from worldmodels.stages.stage import RolloutStage, input_file, output_file
from worldmodels.stages.stage import main as run_stage

BATCH_FRAMES = 256


class EncodeLatents(RolloutStage):
    """Options of encode_latents."""

    Block: ClassVar = EncodeLatentsBlock
    uses_gpu = True

    vae: Path = input_file("The VAE's weights")
    output: Path = output_file("Latents of all frames, HDF5")

    def run(self) -> None:
        """Encode batch by batch; nothing is kept between batches but the latents."""
        device = resolve_device(self.device)
        dtype = matmul_dtype(self.block().precision, device)
        frames = RolloutFrames(self.shard_paths())
        vae = load_vae(self.vae).to(device).eval()
        needed = latents_bytes(len(frames), vae.options.latent_size) + WORKING_BYTES
        require_memory(needed, f"encoding {len(frames):,} frames")
        means = np.empty((len(frames), vae.options.latent_size), np.float16)
        log_variances = np.empty_like(means)
        with Progress("encode_latents", len(frames), "frames", self.state) as progress:
            for start, batch in zip(range(0, len(frames), BATCH_FRAMES), read_batches(frames), strict=True):
                rows = slice(start, start + len(batch))
                means[rows], log_variances[rows] = encode(vae, batch, device, dtype)
                progress.advance(len(batch))
                self.state.stop.check()
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


def read_batches(frames: RolloutFrames) -> Iterator[np.ndarray]:
    """All frames in order, BATCH_FRAMES at a time; the next batch is read while one is encoded."""
    starts = range(0, len(frames), BATCH_FRAMES)
    return prefetch(frames.read(start, min(start + BATCH_FRAMES, len(frames))) for start in starts)


@torch.inference_mode()
def encode(vae: ConvVAE, frames: np.ndarray, device: torch.device, dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Mean and log-variance, (B, Z) float16 each, of frames (B, 64, 64, 3) uint8."""
    observations = observations_from_frames(torch.from_numpy(frames).to(device))  # (B, 3, 64, 64)
    with autocast(device, dtype):
        mean, log_variance = vae.encode(observations)
    return mean.half().cpu().numpy(), log_variance.half().cpu().numpy()


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(EncodeLatents, arguments)
