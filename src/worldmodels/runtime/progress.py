"""How far, how fast, how long still: a bar on a terminal, plain lines in a log, a heartbeat for `status`."""

import logging
import sys
import time
from types import TracebackType
from typing import Any

from tqdm import tqdm

from worldmodels.runtime.state import StateFolder
from worldmodels.runtime.tensorboard import training_board

log = logging.getLogger("worldmodels")

LINE_SECONDS = 10.0
REPORT_SECONDS = 1.0
"""How often the heartbeat hears of progress; it is written less often."""


class Progress:
    """Counts `unit`s towards `total`. Use as a context manager."""

    def __init__(self, title: str, total: int, unit: str, state: StateFolder | None = None, done: int = 0) -> None:
        self.title, self.total, self.unit, self.state = title, total, unit, state
        self.done = self._first = done
        self._begin = self._last_line = self._last_report = time.monotonic()
        self._values: dict[str, Any] = {}
        self._board = training_board(state, title, done)
        self._bar: tqdm | None = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=self.total, initial=self.done, desc=self.title, unit=f" {self.unit}", leave=False, mininterval=0.2
            )
        if self.done:
            log.info("%s: going on at %s of %s %s", self.title, f"{self.done:,}", f"{self.total:,}", self.unit)
        self._report()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._board is not None:
            self._board.close()
        self._report()
        if kind is None:
            self._line("done")

    def advance(self, count: int = 1, **values: Any) -> None:
        """Count `count` more units; `values` are shown beside the rate."""
        self.done += count
        self._values.update(values)
        if self._board is not None and values:
            self._board.add(self.done, values)
        if self._bar is not None:
            self._bar.update(count)
            if values:
                self._bar.set_postfix(self._shown(), refresh=False)
        now = time.monotonic()
        if now - self._last_line > LINE_SECONDS:
            self._last_line = now
            self._line()
        if now - self._last_report > REPORT_SECONDS:
            self._last_report = now
            self._report()

    @property
    def rate(self) -> float:
        """Units a second since this process began."""
        return (self.done - self._first) / max(time.monotonic() - self._begin, 1e-9)

    def _report(self) -> None:
        if self.state is not None:
            values = {name: value for name, value in self._values.items() if isinstance(value, int | float | str)}
            self.state.heartbeat(
                **{"title": self.title, "done": self.done, "total": self.total, "unit": self.unit},
                **{"rate": self.rate, "values": values},
            )

    def _shown(self) -> dict[str, str]:
        return {key: f"{value:.4g}" if isinstance(value, float) else str(value) for key, value in self._values.items()}

    def _line(self, ending: str | None = None) -> None:
        left = (self.total - self.done) / self.rate if self.rate > 0 else float("inf")
        tail = ending or (f"{clock(left)} left" if left < 1e7 else "")
        shown = ", ".join(f"{key} {value}" for key, value in self._shown().items())
        rate = f"{self.rate:,.0f}" if self.rate >= 10 else f"{self.rate:.2g}"
        log.info(
            "%s: %s/%s %s (%.0f %%), %s/s, %s%s",
            *(self.title, f"{self.done:,}", f"{self.total:,}", self.unit, 100 * self.done / max(self.total, 1)),
            *(rate, tail, f", {shown}" if shown else ""),
        )


def clock(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
