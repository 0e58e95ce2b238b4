"""docs/choosing.md is what its own command writes from the studies that are kept."""

import re
from pathlib import Path

import pytest

from experiments import choosing

PAGE = Path("docs/choosing.md")


def test_the_page_is_what_its_command_writes():
    text = PAGE.read_text()
    have = re.search(r"--have=(\S+)`", text).group(1).split(",")
    assert choosing.page(have, PAGE.parent) == text


def test_no_study_is_an_error():
    with pytest.raises(ValueError, match="--have is missing"):
        choosing.page([], PAGE.parent)
