"""What users ask Snakemake for: a name that nobody has is said with the nearest one, before Snakemake looks for a rule."""

from collections.abc import Sequence

from worldmodels.config import dag
from worldmodels.config.atari_blocks import atari_datasets
from worldmodels.config.experiments import Config
from worldmodels.config.load import nearest, no_experiment
from worldmodels.config.simulator_products import agent_score_files, simulator_products
from worldmodels.errors import UserError

AGENT_TABLES = ("agents.csv", "agents.md")
TABLES = ("table.csv", "table.md", "table.tex")
"""Files that lie in the folder itself of every experiment; the other products are in folders."""
FILE_OPTIONS = ("--report", "--directory", "-d", "--configfile", "--configfiles", "--snakefile", "-s", "--archive")


def check_targets(config: Config, words: Sequence[str]) -> None:
    """Raise UserError where a target in Snakemake's command line names no experiment, variant, data set, agent, table, figure or film.

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
    agents = parts[0] in config.experiments
    if len(parts) == 2 and "." in parts[1]:
        own = ("table.html",) if agents else ("speed.csv", *AGENT_TABLES)
        kind = "agents" if agents else "simulators"
        _require(target, parts[1], (*TABLES, *own), f"an experiment with {kind} makes no")
    if agents:
        _check_controller(config, target, parts)
    elif parts[-1] in AGENT_TABLES and not agent_score_files(config, parts[0], "score.json"):
        raise UserError(f"{target}: no trained agent plays for {parts[0]}, nor made its frames.")
    if len(parts) == 3 and parts[1] in ("figures", "videos") and "." in parts[2]:
        made = (dag.products if agents else simulator_products)(config, parts[0])
        known = [path.rpartition("/")[2] for path in made if path.startswith(f"results/{parts[0]}/{parts[1]}/")]
        _require(target, parts[2], known, f"{parts[0]} has no")


def _check_controller(config: Config, target: str, parts: Sequence[str]) -> None:
    """A variant must be one of the experiment's, and what evolution makes must be of one that is evolved."""
    if len(parts) != 5 or parts[2] != "controllers":
        return
    variants = config.experiments[parts[0]].variants
    _require(target, parts[3], list(variants), f"{parts[0]} has no variant")
    if parts[4] in ("controller.json", "history.csv") and variants[parts[3]].policy != "evolved":
        raise UserError(f"{target}: the policy of {parts[3]} is '{variants[parts[3]].policy}', so nothing is evolved.")


def _require(target: str, name: str, known: Sequence[str], words: str) -> None:
    if name not in known:
        raise UserError(f"{target}: {words} {name}.{nearest(name, known)}")
