"""Make an M of fresh weights on top of a V, for agents whose memory never learned."""

from pathlib import Path
from typing import ClassVar

import torch

from worldmodels.config.blocks import InitialiseMDNRNNBlock
from worldmodels.models.mdn_rnn import MDNRNN
from worldmodels.runtime.files import file_checksum
from worldmodels.runtime.weights import save_weights
from worldmodels.seeds import integer_seed
from worldmodels.stages.stage import Seed, Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage


class InitialiseMDNRNN(Stage):
    """Options of initialise_mdn_rnn."""

    Block: ClassVar = InitialiseMDNRNNBlock

    vae: Path = input_file("The VAE whose latents M will see")
    weights: Path = output_file("M's weights, safetensors")
    seed: Seed

    def run(self) -> None:
        """Draw weights as training would begin with them."""
        torch.manual_seed(integer_seed("train_mdn_rnn", self.seed, "initial weights"))
        options = self.block().model
        save_weights(self.weights, MDNRNN(options), "mdn_rnn", options, {"vae": file_checksum(self.vae)})


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(InitialiseMDNRNN, arguments)
