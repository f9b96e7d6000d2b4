"""Make a VAE of fresh weights, for agents that see through an untrained V."""

from pathlib import Path
from typing import ClassVar

import torch

from worldmodels.config.blocks import InitialiseVAEBlock
from worldmodels.models.vae import ConvVAE
from worldmodels.runtime.weights import save_weights
from worldmodels.seeds import integer_seed
from worldmodels.stages.stage import Seed, Stage, output_file
from worldmodels.stages.stage import main as run_stage


class InitialiseVAE(Stage):
    """Options of initialise_vae."""

    Block: ClassVar = InitialiseVAEBlock

    weights: Path = output_file("The VAE's weights, safetensors")
    seed: Seed

    def run(self) -> None:
        """Draw weights as training would begin with them."""
        torch.manual_seed(integer_seed("train_vae", self.seed, "initial weights"))
        options = self.block().model
        save_weights(self.weights, ConvVAE(options), "vae", options, {})


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(InitialiseVAE, arguments)
