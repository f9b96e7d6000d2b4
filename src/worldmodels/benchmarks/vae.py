"""How fast V trains and encodes, beside the plain layers and the bare forward pass in the same run."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from worldmodels.config.models import VAEOptions
from worldmodels.models.vae import ConvVAE, observations_from_frames, vae_loss
from worldmodels.runtime.device import autocast, available_cores, has_fast_bf16, set_threads

BATCH = 100
SECONDS = 6.0


def measure_vae() -> dict[str, Any]:
    """Training in frames a second, ours and with torch's own deconvolutions, in fp32 and where it is fast in bf16."""
    set_threads(available_cores())
    cpu = torch.device("cpu")
    result: dict[str, Any] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        if dtype == torch.bfloat16 and not has_fast_bf16(cpu):
            continue
        ours, plain = alternate(training_step(ConvVAE(VAEOptions()), dtype), training_step(plain_vae(), dtype, fused=False))
        result |= {f"{name}_training": ours * BATCH, f"{name}_plain": plain * BATCH, f"{name}_gain": ours / plain}
    return result


def plain_vae() -> ConvVAE:
    """The same network with nn.ConvTranspose2d, in torch's default memory layout."""
    vae = ConvVAE(VAEOptions())
    for index, layer in enumerate(vae.decoder):
        if isinstance(layer, nn.ConvTranspose2d):
            channels = (layer.in_channels, layer.out_channels)
            vae.decoder[index] = nn.ConvTranspose2d(*channels, layer.kernel_size, stride=2)  # type: ignore[arg-type]
    return vae.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def training_step(vae: ConvVAE, dtype: torch.dtype, fused: bool = True) -> Callable[[], None]:
    """One update on random frames."""
    optimiser = torch.optim.Adam(vae.parameters(), 1e-4, fused=fused)
    frames = torch.randint(0, 256, (BATCH, 64, 64, 3), dtype=torch.uint8)
    noise = torch.randn(BATCH, vae.options.latent_size)

    def step() -> None:
        observations = observations_from_frames(frames)
        with autocast(torch.device("cpu"), dtype):
            output = vae(observations, noise)
        optimiser.zero_grad()
        vae_loss(output, observations, 0.5).total.backward()
        optimiser.step()

    return step


def alternate(one: Callable[[], None], other: Callable[[], None]) -> tuple[float, float]:
    """Calls a second of two functions, timed in turns, so that a noisy machine slows both."""
    spent = [0.0, 0.0]
    calls = 0
    one()
    other()
    while sum(spent) < SECONDS:
        for index, function in enumerate((one, other)):
            begin = time.perf_counter()
            function()
            spent[index] += time.perf_counter() - begin
        calls += 1
    return calls / spent[0], calls / spent[1]
