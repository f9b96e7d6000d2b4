"""Train the VAE of one seed on the frames of all shards (paper, appendix A.1)."""

from pathlib import Path
from typing import ClassVar

import torch

from worldmodels.config.blocks import TrainVAEBlock
from worldmodels.data.frames import FrameBatches, batches_on_device
from worldmodels.data.rollouts import RolloutFrames
from worldmodels.models.vae import ConvVAE, observations_from_frames, vae_loss
from worldmodels.runtime.device import autocast, matmul_dtype, resolve_device
from worldmodels.runtime.weights import save_weights
from worldmodels.seeds import integer_seed
from worldmodels.stages.stage import RolloutStage, Seed, output_file
from worldmodels.stages.stage import main as run_stage
from worldmodels.training import Carry, FitOptions, Metrics, cosine_decay, fit, write_metrics


class TrainVAE(RolloutStage):
    """Options of train_vae."""

    Block: ClassVar = TrainVAEBlock
    uses_gpu = True

    weights: Path = output_file("The VAE's weights, safetensors")
    metrics: Path = output_file("Training history, CSV")
    seed: Seed

    def run(self) -> None:
        """Fit V to the frames."""
        training = self.block().training
        device = resolve_device(self.device)
        dtype = matmul_dtype(training.precision, device)
        words = ("train_vae", self.seed)
        batches = FrameBatches(RolloutFrames(self.shard_paths()), training.batch_size, training.epochs, words)
        torch.manual_seed(integer_seed(*words, "initial weights"))
        vae = ConvVAE(training.model)

        def objective(
            step: int, frames: torch.Tensor, _carry: Carry | None
        ) -> tuple[torch.Tensor, Metrics, Carry | None]:
            observations = observations_from_frames(frames)  # (B, 3, 64, 64)
            noise = step_noise((len(frames), training.model.latent_size), device, *words, step)
            with autocast(device, dtype):
                output = vae(observations, noise)
            losses = vae_loss(output, observations, training.free_bits)
            return losses.total, {"reconstruction": losses.reconstruction, "kl": losses.kl}, None

        options = FitOptions(
            learning_rate=lambda step: (
                training.learning_rate * cosine_decay(step, len(batches), training.final_learning_rate_fraction)
            ),
            steps=len(batches),
            items_per_step=training.batch_size,
            unit="frames",
        )
        history = fit(vae, objective, batches_on_device(batches, device), options, self.state, device, "train_vae")
        write_metrics(self.metrics, history)
        save_weights(self.weights, vae, "vae", training.model, {})


def step_noise(shape: tuple[int, ...], device: torch.device, *words: str | int) -> torch.Tensor:
    """Standard normal noise that belongs to one training step, the same on every device."""
    source = torch.Generator().manual_seed(integer_seed(*words))
    return torch.randn(shape, generator=source).to(device)


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(TrainVAE, arguments)
