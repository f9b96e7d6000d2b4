"""The weights that the authors of World Models released for both games: which files, and where they come from.

Torch-free, because the Snakefile asks for them too: a missing file must be said before anything starts.
"""

from pathlib import Path

from worldmodels.errors import UserError

REPOSITORY = "https://github.com/hardmaru/WorldModelsExperiments"
RELEASED_FILES = {
    "take_cover": {
        "vae": "doomrnn/tf_models/vae.json",
        "rnn": "doomrnn/tf_models/rnn.json",
        "controller": "doomrnn/log/doomrnn.cma.16.64.best.json",
    },
    "car_racing": {
        "vae": "carracing/vae/vae.json",
        "rnn": "carracing/rnn/rnn.json",
        "controller": "carracing/log/carracing.cma.16.64.best.json",
    },
}
"""Paths in the authors' repository, by task and by the name that the file has here."""


def advice(path: Path, task: str) -> str:
    """What to do about a file that is missing or wrong."""
    origin = RELEASED_FILES[task][path.stem]
    return f"Put {origin} of {REPOSITORY} there, named {path.name} (docs/published-weights.md)."


def released_files(folder: Path, task: str) -> dict[str, Path]:
    """Paths of vae, rnn and controller in the user's folder. Raises UserError for a missing file or another task."""
    if task not in RELEASED_FILES:
        raise UserError(f"no weights were released for {task}; only for {' and '.join(RELEASED_FILES)}.")
    paths = {name: folder / f"{name}.json" for name in RELEASED_FILES[task]}
    for path in paths.values():
        if not path.is_file():
            raise UserError(f"{path} does not exist, and the workflow downloads nothing. {advice(path, task)}")
    return paths
