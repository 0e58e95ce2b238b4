"""Imports run one way, and losses come without the libraries that training needs."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from genloss_jax.objectives.configured import FAMILIES

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "genloss_jax"

# room -> the rooms it may import, besides itself and the package's own top-level private modules
ALLOWED = {
    "losses": set(),
    "networks": set(),
    "data": set(),
    "samplers": {"losses"},
    "metrics": {"losses", "networks", "data"},
    "objectives": {"losses", "samplers", "metrics", "networks", "data"},
    "training": {"losses", "samplers", "metrics", "networks", "data", "objectives"},
    "ablation": {"losses", "samplers", "metrics", "networks", "data", "objectives", "training"},
}
# What each of these may import besides the standard library and this project.
LIBRARIES = {
    "genloss_jax/losses": {"jax", "jaxtyping", "numpy"},
    "configs": {"ml_collections"},
}


def imported_modules(path):
    """Return the absolute names of all modules that a file imports, anywhere in it."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from genloss_jax import losses` imports genloss_jax.losses.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def sources(*folders):
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_every_room_of_the_package_has_its_import_directions():
    rooms = {path.relative_to(ROOT / PACKAGE).parts[0] for path in sources(PACKAGE) if path.parent != ROOT / PACKAGE}
    assert rooms <= set(ALLOWED)


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_room_imports_only_the_rooms_below_it(room):
    for path in sources(f"{PACKAGE}/{room}"):
        for module in imported_modules(path):
            top, _, inner = module.partition(".")
            assert top not in ("experiments", "configs", "tests", "benchmarks"), f"{path} imports {module}"
            if top == PACKAGE and inner:
                target = inner.partition(".")[0]
                assert target.startswith("_") or target in ALLOWED[room] | {room}, f"{path} imports {module}"


def test_training_and_experiments_do_not_know_the_families():
    families = re.compile(rf"\b({'|'.join(FAMILIES)})\b")
    for path in sources(f"{PACKAGE}/training", "experiments"):
        found = families.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path} speaks of {found}"


@pytest.mark.parametrize("folder", sorted(LIBRARIES))
def test_folder_imports_only_its_libraries(folder):
    own = {"genloss_jax/losses": PACKAGE, "configs": "configs"}[folder]
    for path in sources(folder):
        for module in imported_modules(path):
            top = module.partition(".")[0]
            assert top in {own} | LIBRARIES[folder] | sys.stdlib_module_names, f"{path} imports {module}"


def test_losses_come_without_training_libraries_and_add_little_to_the_import_of_jax(tmp_path):
    # JAX alone takes about a second of a slow core, which is not ours; processor time, because machines are shared.
    script = (
        "import time, sys, json, jax; start = time.process_time(); import genloss_jax.losses; "
        "print(json.dumps([time.process_time() - start, sorted(sys.modules)]))"
    )
    # The first run compiles the sources, the others find them compiled, as an installed package does.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(tmp_path)
    fastest = float("inf")
    for _ in range(3):
        result = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=True
        )
        seconds, modules = json.loads(result.stdout)
        assert not {"flax", "optax", "tensorflow_datasets", "absl", "ml_collections", "scipy"} & set(modules)
        fastest = min(fastest, seconds)
    assert fastest < 0.25
