"""docs/scaling.md is what its own command writes, and the counts that it rests on are those of today's code."""

from pathlib import Path

import pytest

from experiments import collectives, models, scaling

PAGE = Path("docs/scaling.md")
QUICK = {"image_gpt"}


def test_the_page_is_what_its_command_writes():
    assert scaling.page(scaling.read_counts(scaling.COUNTS), collectives.read(collectives.COUNTS)) == PAGE.read_text()


def test_the_page_says_that_nothing_was_run_on_a_tpu():
    assert "**Nothing on this page was run on a TPU.**" in PAGE.read_text()


def test_predictions_take_the_all_reduces_of_the_program_that_a_tpu_would_run():
    cost = scaling.read_counts(scaling.COUNTS)["dcgan_celeba64"]
    exchanges = collectives.read(collectives.COUNTS)
    measured = scaling.measured("dcgan_celeba64", cost, exchanges)
    rows = collectives.select(exchanges, "dcgan_celeba64", "v5e", "sharded")
    assert measured.num_all_reduces == sum(row.number for row in rows) > cost.num_all_reduces
    assert measured.gradient_bytes == sum(row.number * row.num_bytes for row in rows) > cost.gradient_bytes
    assert measured._replace(**{name: getattr(cost, name) for name in ("gradient_bytes", "num_all_reduces")}) == cost


def test_a_program_that_gathers_is_refused_by_predictions():
    cost = scaling.read_counts(scaling.COUNTS)["image_gpt"]
    row = collectives.Row("image_gpt", "v5e", "sharded", "all-gather", 64, 1, "", "")
    with pytest.raises(ValueError, match=r"a step of image_gpt has \['all-gather'\]"):
        scaling.measured("image_gpt", cost, [row])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in models.MODELS]
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
