# Published world models, one command per table: snakemake --cores 64 results/doom/table.csv
# Every job parses this file again, so nothing here imports torch.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import min_version

from worldmodels.config import atari_blocks, dag
from worldmodels.config import job as job_parts
from worldmodels.config.load import experiment_options, load_config, read_yaml
from worldmodels.errors import UserError

min_version("9.27")

try:
    # Snakemake would not say in which line it is wrong. Jobs parse this file too, and their head has looked already.
    if "--target-jobs" not in sys.argv and Path("config.yaml").is_file():
        read_yaml(Path("config.yaml"))
except UserError as error:
    raise WorkflowError(str(error)) from None


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/simulator_inputs.smk"


wildcard_constraints:
    experiment=rf"(?!(?:{SIMULATOR_EXPERIMENT})/){ANY_NAME}",
    dataset=r"[a-z0-9][a-z0-9.-]*",
    variant=r"[a-z0-9][a-z0-9.-]*",
    seed=r"[1-9]\d*",
    memory="|".join(dag.UNTRAINED_ON),
    shard=r"\d\d\d+",


include: "workflow/rules/data.smk"
include: "workflow/rules/world_model.smk"
include: "workflow/rules/published.smk"
include: "workflow/rules/controller.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/atari.smk"
include: "workflow/rules/simulators.smk"


rule quickstart:
    """The default: the Doom laptop table, figures and films."""
    default_target: True
    input:
        experiment_products("doom-laptop"),


rule laptop_simulators:
    """Simulators of Atari games that two cores can train."""
    input:
        simulator_products("atari-acvp-laptop"),
        simulator_products("simulators-laptop"),
        simulator_products("atari-res-laptop"),


rule laptop:
    """The laptop experiments of both games and of the simulators; some longer ones have targets of their own only."""
    input:
        collect(
            "{product}",
            product=[
                path
                for name in (
                    *("doom-laptop", "doom-laptop-seeds", "doom-laptop-temperatures", "doom-laptop-selection"),
                    *("carracing-laptop", "carracing-laptop-ablations"),
                )
                for path in experiment_products(name)
            ],
        ),
        rules.laptop_simulators.input,


rule smoke:
    """The same DAG in minutes; its numbers mean nothing."""
    input:
        experiment_products("doom-smoke"),


rule smoke_carracing:
    """CarRacing at the same scale, every kind of controller."""
    input:
        experiment_products("carracing-smoke"),
        experiment_products("carracing-dream-smoke"),
        "results/carracing-dream-agent-smoke/table.csv",


rule smoke_simulators:
    """Every form of simulator on a few hundred Atari frames."""
    input:
        simulator_products("atari-res-smoke"),
        simulator_products("atari-acvp-smoke"),


rule paper:
    """The papers' tables at full scale; released weights and lengths of training have targets of their own."""
    input:
        experiment_products("doom"),
        experiment_products("carracing"),
        experiment_products("carracing-dream"),
        experiment_products("carracing-dream-agent"),
        simulator_products("atari-res"),
        simulator_products("atari-acvp"),
        simulator_products("atari-acvp-data"),
        simulator_products("simulators"),
