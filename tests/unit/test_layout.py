"""The architecture: which part of the package may import which."""

import ast
from pathlib import Path

import worldmodels
from worldmodels.provenance import import_closure

PACKAGE = Path(worldmodels.__file__).parent
LAYERS = [
    {"stages", "status", "play"},
    {"training", "evolution", "evaluation", "agent_policy", "scores", "figures"},
    {"simulators"},
    {"models", "envs", "data"},
    {"config"},
    {"runtime", "seeds", "provenance"},
    {"errors"},
]
"""From the top down: a module may import its own layer and those below, except that config and runtime are neighbours."""
OUTSIDE = {"benchmarks", "__main__", "__init__"}


def part(path_or_module: str) -> str:
    return path_or_module.split(".")[1]


def layer(name: str) -> int:
    return next(index for index, names in enumerate(LAYERS) if name in names)


def imports_of(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return [name for name in names if name.startswith("worldmodels.")]


def modules():
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name not in OUTSIDE:
            yield name, path


def test_imports_point_one_way():
    wrong = []
    for name, path in modules():
        for imported in imports_of(path):
            target = part(imported)
            neighbours = {name, target} <= {"config", "runtime", "provenance", "errors", "seeds"}
            if not neighbours and layer(target) < layer(name):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {imported}")
    assert not wrong


def test_every_module_has_a_layer():
    known = set().union(*LAYERS)
    assert {name for name, _ in modules()} <= known


def test_configuration_is_light():
    """Every Snakemake job parses the Snakefile: torch there would cost seconds per job."""
    for path in (PACKAGE / "config").glob("*.py"):
        assert not {"torch", "numpy", "h5py", "vizdoom"} & {name.split(".")[0] for name in _all_imports(path)}


def _all_imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return found | {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}


def test_stages_that_choose_a_device_hold_a_gpu_of_their_own():
    """Without `uses_gpu` a stage would share the GPU of another one."""
    for path in sorted((PACKAGE / "stages").glob("*.py")):
        source = path.read_text()
        if path.name not in ("stage.py", "__init__.py"):
            assert ("resolve_device(" in source) == ("uses_gpu = True" in source), path.name


def test_stages_without_torch_import_none():
    """Torch would then run without its settings: on all threads, and with slow denormals."""
    without = [path for path in (PACKAGE / "stages").glob("*.py") if "uses_torch = False" in path.read_text()]
    assert {path.stem for path in without} >= {"show", "tabulate"}
    for stage in without:
        for path in import_closure([f"stages.{stage.stem}"]):
            imports = _all_imports(path)
            assert not {"torch", "safetensors", "stable_baselines3"} & {name.split(".")[0] for name in imports}, path
            assert not {"worldmodels.runtime.device", "worldmodels.runtime.weights"} & imports, path
