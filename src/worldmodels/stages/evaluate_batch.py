"""Score a controller on one share of its report episodes, where an experiment spreads them over several jobs.

The first share has the dreams too. Which seeds a share has depends on nothing but its number and how many there are.
"""

from pydantic import Field

from worldmodels.errors import UserError
from worldmodels.stages.evaluate_controller import EvaluateController
from worldmodels.stages.stage import main as run_stage


class EvaluateBatch(EvaluateController):
    """Options of evaluate_batch: those of evaluate_controller, and which share."""

    batch: int = Field(ge=0, description="The share, from 0")

    def _share(self, seeds: list[int]) -> list[int]:
        """Shares whose sizes differ by one at most, in the order of the whole."""
        count = self.block().evaluation.batches
        if self.batch >= count:
            raise UserError(f"--batch is {self.batch}, but evaluation.batches is {count}: they count from 0.")
        first, last = (len(seeds) * number // count for number in (self.batch, self.batch + 1))
        return seeds[first:last]

    def _first_batch(self) -> bool:
        return self.batch == 0


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(EvaluateBatch, arguments)
