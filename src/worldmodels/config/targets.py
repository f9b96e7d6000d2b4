"""What users ask Snakemake for: a name that nobody has is said with the nearest one, before Snakemake looks for a rule."""

from collections.abc import Sequence

from worldmodels.config.atari_blocks import atari_datasets
from worldmodels.config.experiments import Config
from worldmodels.config.load import nearest, no_experiment
from worldmodels.errors import UserError

TABLES = ("table.csv", "table.md", "table.tex", "table.html", "speed.csv", "agents.csv", "agents.md")
"""Files that lie in an experiment's folder itself; the other products are in folders."""
FILE_OPTIONS = ("--report", "--directory", "-d", "--configfile", "--configfiles", "--snakefile", "-s", "--archive")


def check_targets(config: Config, words: Sequence[str]) -> None:
    """Raise UserError where a target in Snakemake's command line names no experiment, data set, agent or table.

    What follows an option that takes a file or folder is left alone.
    """
    for before, word in zip(("", *words), words, strict=False):
        root, *parts = word.split("/")
        if root == "results" and parts and parts[0] and before not in FILE_OPTIONS:
            _check(config, word, parts)


def _check(config: Config, target: str, parts: Sequence[str]) -> None:
    if parts[0] in ("data", "agents"):
        atari = [name for name, _, _ in atari_datasets(config)]
        known = [*config.datasets, *atari] if parts[0] == "data" else list(config.atari_agents)
        if len(parts) > 1 and parts[1] not in known:
            what = "data set" if parts[0] == "data" else "agent"
            raise UserError(f"{target}: config.yaml has no {what} '{parts[1]}'.{nearest(parts[1], known)}")
        return
    if parts[0] not in config.experiments and parts[0] not in config.simulator_experiments:
        raise no_experiment(config, parts[0])
    if len(parts) == 2 and "." in parts[1] and parts[1] not in TABLES:
        raise UserError(f"{target}: an experiment makes no {parts[1]}.{nearest(parts[1], TABLES)}")
