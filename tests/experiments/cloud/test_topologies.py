"""Slices are named as their vendor names them, and have the vendor's shapes."""

import math

import pytest

from experiments.cloud import topologies


@pytest.mark.parametrize(
    ("name", "chips", "accelerator_type", "axes", "machines"),
    [
        ("v5e-1", 1, "v5litepod-1", (1,), 1),
        ("v5e-8", 8, "v5litepod-8", (2, 4), 1),
        ("v5e-64", 64, "v5litepod-64", (8, 8), 16),
        ("v5litepod-64", 64, "v5litepod-64", (8, 8), 16),
        ("v6e-256", 256, "v6e-256", (16, 16), 64),
        ("v5p-8", 4, "v5p-8", (2, 2, 1), 1),
        ("v5p-512", 256, "v5p-512", (4, 8, 8), 64),
        ("v4-128", 64, "v4-128", (4, 4, 4), 16),
    ],
)
def test_a_name_says_the_chips_their_shape_and_their_machines(name, chips, accelerator_type, axes, machines):
    found = topologies.parse(name)
    assert (found.chips, found.accelerator_type, found.axes, found.machines) == (
        chips,
        accelerator_type,
        axes,
        machines,
    )


def test_every_name_leads_back_to_its_slice_and_every_shape_has_its_chips():
    for name in topologies.names():
        found = topologies.parse(name)
        assert found.name == name
        assert math.prod(found.axes) == found.chips
        assert topologies.parse(found.accelerator_type) == found


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "--topology is missing; try --topology=v5e-8"),
        ("v5e-65", "there is no 'v5e-65'; slices of v5e are v5e-1, v5e-4, .* v5e-256"),
        ("v5p-9", "there is no 'v5p-9'; slices of v5p are v5p-8, "),
        ("v5-8", "unknown topology 'v5-8'; did you mean 'v5.-8'.; valid: v4-8 to v4-4096, v5e-1 to v5e-256, "),
        ("h100", "unknown topology 'h100'; valid: "),
    ],
)
def test_an_unknown_slice_is_one_clear_sentence(name, says):
    with pytest.raises(ValueError, match=says):
        topologies.parse(name)
