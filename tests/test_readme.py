"""What the README says, done: its Python runs, its commands parse, its links lead somewhere."""

import re
from pathlib import Path

import pytest

from experiments import advise

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


def blocks(language, page=README):
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_runs(number):
    exec(compile(blocks("python")[number], "README.md", "exec"), {})


def test_first_use_stands_within_thirty_lines():
    assert README.index("from genloss_jax.losses import") < len("\n".join(README.splitlines()[:30]))


def test_named_configs_modules_and_targets_exist():
    for path in re.findall(r"--config=(configs/\w+\.py)", README):
        assert (ROOT / path).is_file(), path
    for module in re.findall(r"python -m ([\w.]+)", README):
        path = ROOT / Path(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file() or (path / "__init__.py").is_file()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for target in re.findall(r"^make ([a-z-]+)", README, flags=re.MULTILINE):
        assert target in targets, target


def test_its_question_to_the_adviser_is_answered_by_the_studies_that_are_kept():
    modality, have = re.search(r"experiments\.advise --modality=(\w+) --have=(\S+)", README).groups()
    studies = have.replace("runs/", "benchmarks/results/").split(",")
    assert set(advise.run(studies, modality)) == {"loss", "family"}


def test_worked_example_of_a_new_loss_is_in_the_sources_and_under_forty_lines():
    page = (ROOT / "CONTRIBUTING.md").read_text()
    sources = "".join(path.read_text() for folder in ("genloss_jax", "tests") for path in (ROOT / folder).rglob("*.py"))
    *loss, proof = blocks("python", page)
    assert all(block in sources for block in (*loss, proof))
    assert sum(block.count("\n") for block in loss) < 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert link.startswith("http") or (page.parent / link).exists(), link
