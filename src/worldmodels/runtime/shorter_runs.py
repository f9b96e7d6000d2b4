"""What a run leaves for one with a larger budget: raise the budget, and the work goes on instead of beginning anew.

It is the checkpoint from before the last step, since a last step may do more than others (a search scores its result): what
goes on from there ends with the bytes of an undisturbed longer run.
"""

import copy
import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldmodels.runtime.files import atomic_path, write_tensors
from worldmodels.runtime.state import StateFolder, read_checkpoint

log = logging.getLogger(__name__)


class ShorterRun:
    """The place of that checkpoint, in `.state/shorter`, named by all that the work depends on but its budget.

    facts: what the work depends on, with its block under `config`. budget: the block's key of the budget, with dots.
    """

    def __init__(self, state: StateFolder, facts: Mapping[str, Any], budget: str) -> None:
        *path, last = budget.split(".")
        rest = copy.deepcopy(dict(facts))
        block = rest["config"]
        for name in path:
            block = block[name]
        del block[last]
        key = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]
        self.heart = state.heart
        self.label = state.path.name.rsplit("-", 1)[0]
        self.path: Path = state.path.parent / "shorter" / f"{self.label}-{key}.safetensors"

    def save(self, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Keep this and what it cost, and nothing else of the same output: that is of other code or data."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path) as temporary:
            write_tensors(temporary, tensors, {"meta": json.dumps({**meta, "earlier": self.heart.work_so_far()})})
        for other in self.path.parent.glob(f"{self.label}-*.safetensors"):
            if other != self.path and other.stem.rsplit("-", 1)[0] == self.label:
                other.unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return (tensors, meta), or None where no shorter run left any."""
        if not self.path.exists():
            return None
        try:
            return read_checkpoint(self.path)
        except Exception as error:  # a truncated file raises whatever its damage looks like
            log.warning("%s is damaged (%s): the work begins anew", self.path, error)
            return None

    def go_on(self, meta: Mapping[str, Any]) -> None:
        """Count the time of the shorter run as this one's: its work is in the result."""
        self.heart.report(**meta["earlier"])
