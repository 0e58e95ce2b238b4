"""The catalog: complete cards, real proofs, a page that is up to date, a command line that helps."""

import subprocess
import sys
from pathlib import Path

import pytest

from genloss_jax.losses import catalog
from genloss_jax.losses.catalog import __main__ as command
from genloss_jax.losses.catalog import _text

ROOT = Path(__file__).resolve().parents[2]
TEXT_FIELDS = ("name", "family", "equation", "unit", "kind", "conventions", "minimised_by", "reference", "proof")
KINDS = ("exact", "upper bound", "lower bound", "biased estimate")


def test_names_are_unique():
    names = [card.name for card in catalog.cards()]
    assert len(names) == len(set(names)) > 0


@pytest.mark.parametrize("card", catalog.cards(), ids=lambda card: card.name)
def test_card_is_complete(card):
    for field in TEXT_FIELDS:
        assert getattr(card, field).strip(), field
    assert card.kind in KINDS
    assert card.family == "adversarial" or card.example is not None


def test_every_proof_is_a_test_that_pytest_collects():
    files = sorted({card.proof.partition("::")[0] for card in catalog.cards()})
    options = ["--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    collected = set(result.stdout.splitlines())
    functions = {name.partition("[")[0] for name in collected}
    assert {card.proof for card in catalog.cards()} <= collected | functions


def test_card_of_a_misspelt_name_says_the_nearest():
    with pytest.raises(ValueError, match="unknown loss 'r1_penlty'; did you mean 'r1_penalty'"):
        catalog.card("r1_penlty")


def test_page_is_up_to_date():
    page = (ROOT / "docs" / "catalog.md").read_text(encoding="utf-8")
    remedy = "docs/catalog.md is stale: python -m genloss_jax.losses.catalog --markdown > docs/catalog.md"
    assert page == _text.page(catalog.cards()), remedy


def test_command_line_prints_a_table_a_card_and_the_page(capsys):
    assert command.main([]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 1 + len(catalog.cards())
    assert command.main(["--name", "r1_penalty"]) == 0
    whole = capsys.readouterr().out
    card = catalog.card("r1_penalty")
    assert all(getattr(card, field) in whole for field in TEXT_FIELDS)
    assert command.main(["--markdown"]) == 0
    assert capsys.readouterr().out == _text.page(catalog.cards())


def test_command_line_answers_a_wrong_name_with_one_sentence_and_code_2():
    command_line = [sys.executable, "-m", "genloss_jax.losses.catalog", "--name", "r1_penlty"]
    result = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("unknown loss 'r1_penlty'; did you mean 'r1_penalty'?")
    assert len(result.stderr.splitlines()) == 1
