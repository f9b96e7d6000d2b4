"""The base of every typed option group. Nothing under `config/` imports torch: every Snakemake job parses it again."""

import json

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Frozen options: unknown keys are errors, ranges are checked, descriptions carry the units."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    def canonical_json(self) -> str:
        """One line of JSON with sorted keys: the same text for the same meaning."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
