"""docs/scaling.md is what its own command writes, and the counts that it rests on are those of today's code."""

from pathlib import Path

import pytest

from experiments import scaling

PAGE = Path("docs/scaling.md")
QUICK = {"image_gpt"}


def test_the_page_is_what_its_command_writes():
    assert scaling.page(scaling.read_counts(scaling.COUNTS), f"../{scaling.COUNTS}") == PAGE.read_text()


def test_the_page_says_that_nothing_was_run_on_a_tpu():
    assert "**Nothing on this page was run on a TPU.**" in PAGE.read_text()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in scaling.CONFIGS]
)
def test_the_counts_are_those_of_the_code(name):
    kept, now = scaling.read_counts(scaling.COUNTS)[name], scaling.count(name, fused=name not in QUICK)
    exact = ("batch_size", "max_chips", "num_params", "state_bytes", "gradient_bytes", "num_all_reduces")
    assert [getattr(kept, field) for field in exact] == [getattr(now, field) for field in exact]
    # Versions of JAX write the same step a little differently.
    for field in ("flops", "flops_per_example"):
        assert getattr(now, field) == pytest.approx(getattr(kept, field), rel=0.03), field
    # What is fused differs more between them.
    if name not in QUICK:
        assert now.bytes_accessed == pytest.approx(kept.bytes_accessed, rel=0.25)


def test_counts_are_read_as_they_were_written(tmp_path):
    costs = scaling.read_counts(scaling.COUNTS)
    scaling.write_counts(tmp_path / "counts.csv", costs)
    assert (tmp_path / "counts.csv").read_bytes() == scaling.COUNTS.read_bytes()
    assert isinstance(costs["image_gpt"].batch_size, int)
