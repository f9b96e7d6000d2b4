"""Metrics of training stages as TensorBoard files: `tensorboard --logdir results` shows them while they grow.

They lie in results/EXPERIMENT/tensorboard/[seed-N/]STAGE[-variant]/ (an agent's in
results/agents/tensorboard/AGENT/train_agent-GAME/), are no stage's output, and no result depends on
them. The horizontal axis is the stage's progress in its own unit (frames, steps of M, generations), so a resumed run
continues the curve: what was written after its checkpoint is purged and written again.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldmodels.runtime.heartbeat import command_name
from worldmodels.runtime.state import StateFolder

log = logging.getLogger(__name__)

TRAINING = ("train", "evolve")
"""Stages that have curves, by the beginning of their title."""
EVENTS = "events.out.tfevents"


class TrainingBoard:
    """The curves of one run of one training stage. Nothing is imported or written before the first row."""

    def __init__(self, folder: Path, done: int) -> None:
        self.folder, self._resumed_at = folder, done
        self._writer: Any = None
        self._broken = False

    def add(self, done: int, values: Mapping[str, Any]) -> None:
        """Write one row of numbers at `done` units. A disk that refuses ends the curves, not the training."""
        numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
        if self._broken or not numbers:
            return
        try:
            self._write(done, numbers)
        except OSError as error:
            self._broken = True
            log.warning("no more TensorBoard files in %s: %s", self.folder, error)

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, done: int, numbers: dict[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self._writer is None:
            self._open()
        values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._event(step=done, summary=Summary(value=values))
        self._writer.flush()  # a row before a checkpoint must survive the kill that follows it: nobody writes it again

    def _open(self) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        if self._resumed_at == 0:
            for old in self.folder.glob(f"{EVENTS}.*"):  # of work that began anew: other config, code or data
                old.unlink(missing_ok=True)
        self._writer = RecordWriter((self.folder / self._file_name()).open("wb"))
        self._event(file_version="brain.Event:2")
        if self._resumed_at:
            self._event(step=self._resumed_at + 1, session_log=SessionLog(status=SessionLog.START))

    def _file_name(self) -> str:
        """TensorBoard reads files by name, and a purge must come after what it purges: also where clocks differ."""
        numbers = [int(path.name.removeprefix(f"{EVENTS}.")) for path in self.folder.glob(f"{EVENTS}.*")]
        return f"{EVENTS}.{max([int(time.time()), *(number + 1 for number in numbers)]):010d}"

    def _event(self, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.write(Event(wall_time=time.time(), **content).SerializeToString())


def training_board(state: StateFolder | None, title: str, done: int) -> TrainingBoard | None:
    """The curves of a stage that trains something under results/; None for every other."""
    if state is None or not title.startswith(TRAINING) or "results" not in state.output.parts:
        return None
    return TrainingBoard(board_folder(state, command_name() or title), done)


def board_folder(state: StateFolder, stage: str) -> Path:
    """Where the curves lie; the folder of the output (a variant, a model) is named where the stage's name leaves it open."""
    root = state.path.parent.parent
    parts = state.output.relative_to(root).parts
    ends = [place for place, part in enumerate(parts, 1) if part.startswith("seed-")]
    folder = state.output.parent.name
    # Up to the seed: where there are several games, theirs stands before it. An agent's output has no seed, but a name
    # before its game.
    above = parts[: ends[0]] if ends else parts[:-2]
    return root.joinpath("tensorboard", *above, stage if stage.endswith(folder) else f"{stage}-{folder}")
