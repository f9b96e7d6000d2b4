"""Read the weights that the authors of World Models released into our files of V, M and C.

The folder holds vae.json, rnn.json and controller.json, which users bring: see docs/published-weights.md.
"""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from worldmodels.config.blocks import ImportPublishedWeightsBlock
from worldmodels.config.published_weights import released_files
from worldmodels.models.published_weights import Sizes, read_published_agent
from worldmodels.runtime.files import file_checksum, write_json
from worldmodels.runtime.weights import save_weights
from worldmodels.stages.stage import Stage, output_file
from worldmodels.stages.stage import main as run_stage


class ImportPublishedWeights(Stage):
    """Options of import_published_weights."""

    Block: ClassVar = ImportPublishedWeightsBlock

    folder: Path = Field(description="Folder of vae.json, rnn.json and controller.json")
    vae: Path = output_file("V's weights, safetensors")
    mdn_rnn: Path = output_file("M's weights, safetensors")
    controller: Path = output_file("The controller, JSON")

    def inputs(self) -> list[Path]:
        """The three released files."""
        return list(self._released().values())

    def _released(self) -> dict[str, Path]:
        return released_files(self.folder, self.block().task)

    def run(self) -> None:
        """Read all three before anything is written."""
        block = self.block()
        agent = read_published_agent(self._released(), Sizes(block.vae, block.mdn_rnn, block.controller), block.task)
        save_weights(self.vae, agent.vae, "vae", block.vae, {})
        save_weights(self.mdn_rnn, agent.mdn_rnn, "mdn_rnn", block.mdn_rnn, {"vae": file_checksum(self.vae)})
        content = {
            "weights": agent.controller.tolist(),
            "options": block.controller.model_dump(),
            "mdn_rnn_sha256": file_checksum(self.mdn_rnn),
        }
        write_json(self.controller, content)


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(ImportPublishedWeights, arguments)
