"""How fast V trains and encodes, beside the plain layers and the bare forward pass in the same run."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from worldmodels.benchmarks.timing import alternate
from worldmodels.config.models import VAEOptions
from worldmodels.data.rollouts import RolloutFrames, ShardFacts, write_shard
from worldmodels.models.vae import ConvVAE, observations_from_frames, vae_loss
from worldmodels.runtime.device import autocast, has_fast_bf16, matmul_dtype, set_threads
from worldmodels.runtime.processor import available_cores
from worldmodels.runtime.workers import work_side_by_side, workers_on
from worldmodels.seeds import generator
from worldmodels.stages.encode_latents import BATCH_FRAMES, encode_batches

BATCH = 100
SECONDS = 6.0
ENCODED_FRAMES = 4096


def measure_vae() -> dict[str, Any]:
    """Training in frames a second, ours and with torch's own layers, in fp32 and where it is fast in bf16."""
    set_threads(available_cores())
    cpu = torch.device("cpu")
    result: dict[str, Any] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        if dtype == torch.bfloat16 and not has_fast_bf16(cpu):
            continue
        ours, plain = alternate(
            training_step(ConvVAE(VAEOptions()), dtype), training_step(plain_vae(), dtype, plain=True), SECONDS
        )
        result |= {f"{name}_training": ours * BATCH, f"{name}_plain": plain * BATCH, f"{name}_gain": ours / plain}
    return result


def plain_vae() -> ConvVAE:
    """The same network of torch's own layers, in torch's default memory layout."""
    vae = ConvVAE(VAEOptions())
    for part in (vae.encoder, vae.decoder):
        for index, layer in enumerate(part):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                kind = nn.ConvTranspose2d if isinstance(layer, nn.ConvTranspose2d) else nn.Conv2d
                part[index] = kind(layer.in_channels, layer.out_channels, layer.kernel_size, stride=2)  # type: ignore[arg-type]
    return vae.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def training_step(vae: ConvVAE, dtype: torch.dtype, plain: bool = False) -> Callable[[], None]:
    """One update on random frames; with `plain`, they too are in torch's default layout."""
    optimiser = torch.optim.Adam(vae.parameters(), 1e-4, fused=True)
    frames = torch.randint(0, 256, (BATCH, 64, 64, 3), dtype=torch.uint8)
    noise = torch.randn(BATCH, vae.options.latent_size)

    def step() -> None:
        observations = observations_from_frames(frames)
        observations = observations.contiguous() if plain else observations
        with autocast(torch.device("cpu"), dtype):
            output = vae(observations, noise)
        optimiser.zero_grad()
        vae_loss(output, observations, 0.5).total.backward()
        optimiser.step()

    return step


def measure_encoding() -> dict[str, Any]:
    """Frames a second from a shard on disk to latents, and of the bare forward pass over such batches in memory.

    The latter is measured twice: batches side by side on one thread each, as in encoding, and one at a time on all threads.
    """
    set_threads(available_cores())
    cpu = torch.device("cpu")
    dtype = matmul_dtype("auto", cpu)
    vae = ConvVAE(VAEOptions()).eval()
    with tempfile.TemporaryDirectory() as folder:
        write_shard(Path(folder, "000.h5"), [moving_frames()], one_episode(ENCODED_FRAMES), "{}", 0)
        frames = RolloutFrames([Path(folder, "000.h5")])

        def from_disk() -> None:
            consume(encode_batches(vae, frames, dtype))

        observations = observations_from_frames(torch.from_numpy(frames.read(0, BATCH_FRAMES)))

        @torch.inference_mode()
        def forward(_: int = 0) -> None:
            with autocast(cpu, dtype):
                vae.encode(observations)

        def bare() -> None:
            consume(work_side_by_side(forward, range(ENCODED_FRAMES // BATCH_FRAMES), workers_on(cpu)))

        def shared() -> None:
            for _ in range(ENCODED_FRAMES // BATCH_FRAMES):
                forward()

        ours, limit = (ENCODED_FRAMES * rate for rate in alternate(from_disk, bare, 2 * SECONDS))
        _, one_batch = (ENCODED_FRAMES * rate for rate in alternate(from_disk, shared, SECONDS))
    found = {"encoding": ours, "bare": limit, "share": ours / limit, "bare_one_batch_at_a_time": one_batch}
    return {"dtype": str(dtype).removeprefix("torch."), **found}


def consume(items: Iterable[object]) -> None:
    """Go through all items."""
    for _ in items:
        pass


def moving_frames() -> np.ndarray:
    """Frames (N, 64, 64, 3) uint8 that compress as well as Doom's do: smooth areas, and some noise."""
    source = generator("benchmark", "frames")
    coarse = source.integers(0, 256, (ENCODED_FRAMES, 16, 16, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def one_episode(steps: int) -> ShardFacts:
    """The arrays of a shard of one episode that ends in death."""
    ends = np.array([0, steps], np.int64)
    return ShardFacts(np.zeros((steps, 1), np.float32), np.ones(steps, np.float32), ends, np.ones(1, bool), np.zeros(1))
