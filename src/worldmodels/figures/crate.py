"""Pack a finished experiment as an RO-Crate: one zip that says in a standard form what each file is and where it came from.

`python -m worldmodels crate EXPERIMENT --output FILE.zip`. In it: the table, figures and films, what is behind them (every
episode; with simulators, their errors on every held-out sequence and their training), the provenance of each, the
experiment's configuration, and the workflow that made them (https://w3id.org/ro/crate).
"""

import argparse
import hashlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import yaml
from rocrate.model.entity import Entity
from rocrate.model.person import Person
from rocrate.rocrate import ROCrate

from worldmodels.config import captions, dag, simulator_files, simulator_products
from worldmodels.config.experiments import Config
from worldmodels.config.load import experiment_options, load_config
from worldmodels.config.options import Options
from worldmodels.provenance import provenance_path, read_provenance
from worldmodels.runtime.files import atomic_path, file_checksum, require_file

REPOSITORY = Path(__file__).parents[3]
WORKFLOW_FILES = ("config.yaml", "workflow/rules/*.smk", "workflow/report/*.rst", "envs/*", "CITATION.cff", "LICENSE")
FORMATS = {
    **{".csv": "text/csv", ".md": "text/markdown", ".tex": "application/x-tex", ".html": "text/html"},
    **{".svg": "image/svg+xml", ".pdf": "application/pdf", ".mp4": "video/mp4", ".json": "application/json"},
    ".h5": "application/x-hdf5",
}


def result_files(config: Config, experiment: str) -> Iterator[str]:
    """Paths of everything that people look at, and of the episodes, errors and histories behind it."""
    if experiment in config.simulator_experiments:
        yield from simulator_products.simulator_products(config, experiment)
        yield from simulator_files.simulator_files(config, experiment, simulator_files.ERRORS)
        yield from simulator_files.simulator_files(config, experiment, "metrics.csv", stages=True)
    else:
        yield from _agent_files(config, experiment)


def _agent_files(config: Config, experiment: str) -> Iterator[str]:
    yield from dag.products(config, experiment)
    evolved = dag.evolved_variants(config, experiment)
    options = experiment_options(config, experiment)
    for variant in options.variants:
        for seed in options.training_seeds:
            yield f"{dag.episodes_folder(config, experiment, variant, seed)}/episodes.csv"
            if variant in evolved:
                folder = dag.controller_folder(config, experiment, variant, seed)
                yield from (f"{folder}/controller.json", f"{folder}/history.csv")


def build_crate(folder: Path, experiment: str) -> ROCrate:
    """The crate of an experiment whose results lie in `folder`/results. Raises UserError for a file that is missing."""
    config = load_config(REPOSITORY / "config.yaml")
    crate = ROCrate()
    crate.name = f"worldmodels: {captions.category(config, experiment)}"
    protocol = captions.plain(captions.about_any(config, experiment)["protocol"])
    crate.description = f"Table, figures and films of experiment {experiment}, and the records behind them. {protocol}"
    _add_authors(crate)
    facts = {"name": "worldmodels", "sha256": file_checksum(REPOSITORY / "Snakefile")}
    workflow = crate.add_workflow(
        *(REPOSITORY / "Snakefile", "Snakefile"), properties=facts, main=True, lang="snakemake", record_size=True
    )
    for pattern in WORKFLOW_FILES:
        for path in filter(Path.is_file, sorted(REPOSITORY.glob(pattern))):
            _add_file(crate, path, str(path.relative_to(REPOSITORY)))
    results = [_add_result(crate, folder, path) for path in result_files(config, experiment)]
    record = read_provenance(folder / "results" / experiment / "table.csv") or {}
    crate.datePublished = datetime.fromisoformat(record["finished"]) if "finished" in record else datetime.now(UTC)
    block = _add_block(crate, config, experiment)
    action = {"name": f"snakemake results/{experiment}/table.csv", "endTime": crate.datePublished.isoformat()}
    crate.add_action(workflow, object=[block], result=results, properties=action)
    return crate


def _add_authors(crate: ROCrate) -> None:
    """Authors, licence and keywords, from CITATION.cff."""
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    people = []
    for number, author in enumerate(citation["authors"], start=1):
        name = author.get("name") or f"{author['given-names']} {author['family-names']}"
        kind = "Organization" if "name" in author else "Person"
        people.append(crate.add(Person(crate, f"#author-{number}", {"@type": kind, "name": name})))
    crate.root_dataset["author"] = people
    crate.license = f"https://spdx.org/licenses/{citation['license']}"
    crate.keywords = ", ".join(citation["keywords"])


def _add_result(crate: ROCrate, folder: Path, path: str) -> Entity:
    """Add a result, and its provenance record where there is one."""
    record = provenance_path(folder / path)
    if record.exists():
        _add_file(crate, record, str(provenance_path(Path(path))))
    return _add_file(crate, folder / path, path)


def _add_file(crate: ROCrate, source: Path, path: str) -> Entity:
    require_file(source)
    facts = {"sha256": file_checksum(source), "encodingFormat": FORMATS.get(source.suffix, "text/plain")}
    return crate.add_file(source, path, properties=facts, record_size=True)


def _add_block(crate: ROCrate, config: Config, experiment: str) -> Entity:
    """The experiment's complete configuration, defaults and inheritance resolved, and that of its data set and its agent."""
    parts = {name: options.model_dump(mode="json") for name, options in _blocks(config, experiment).items()}
    text = json.dumps(parts, indent=2) + "\n"
    facts = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "encodingFormat": FORMATS[".json"]}
    return crate.add_file(
        io.StringIO(text), f"results/{experiment}/experiment.json", properties=facts, record_size=True
    )


def _blocks(config: Config, experiment: str) -> dict[str, Options]:
    if experiment not in config.simulator_experiments:
        options = experiment_options(config, experiment)
        return {"experiment": options, "dataset": config.datasets[options.dataset]}
    simulators = config.simulator_experiments[experiment]
    datasets = {name: config.atari_datasets[name] for name in simulators.datasets}
    agents = {
        one.agent: config.atari_agents[one.agent] for one in datasets.values() if one.agent in config.atari_agents
    }
    return {
        "experiment": simulators,
        **{f"atari_datasets.{name}": options for name, options in datasets.items()},
        **{f"atari_agents.{name}": options for name, options in agents.items()},
    }


def main(arguments: list[str]) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m worldmodels crate", description=__doc__)
    parser.add_argument("experiment", help="A finished experiment of config.yaml")
    parser.add_argument("--output", type=Path, required=True, help="The zip to write")
    parser.add_argument("--directory", type=Path, default=Path(), help="Folder that holds results/ (default: this one)")
    options = parser.parse_args(arguments)
    crate = build_crate(options.directory, options.experiment)
    with atomic_path(options.output) as temporary:
        crate.write_zip(temporary)
    print(f"wrote {options.output}: {len(crate.data_entities)} files")
    return 0
