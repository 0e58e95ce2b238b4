"""A study's grid: what its axes mean, and what it refuses."""

import shlex
import sys

import pytest
from absl import flags
from ml_collections import config_flags

from configs.ablations import base
from experiments import ablate
from genloss_jax.ablation import grid

LOAD = ablate.loader("smoke")


def study(axes, **fields):
    settings = base.get_config()
    settings.name = "study"
    settings.axes = axes
    settings.update(fields)
    return settings.lock()


def members(axes, **fields):
    return grid.members(study(axes, **fields), LOAD)


def test_full_product_with_the_seed_fastest():
    found = members({"seed": (0, 1), "loss": ("hinge", "wasserstein"), "learning_rate": (1e-3, 1e-4)})
    assert [member.number for member in found] == list(range(8))
    assert [member.coordinates["seed"] for member in found] == [0, 1] * 4
    points = {tuple(member.coordinates.items()) for member in found}
    assert len(points) == 8
    for member in found:
        assert list(member.coordinates)[-1] == "seed"
        assert member.config.loss == member.coordinates["loss"]
        assert member.config.optimizer.learning_rate == member.coordinates["learning_rate"]
        assert member.config.seed == member.coordinates["seed"]
        assert member.config.is_locked


@pytest.mark.parametrize(
    ("axis", "value", "field"),
    [
        ("penalty", "r1", "penalty.name"),
        ("penalty_weight", 0.5, "penalty.weight"),
        ("critic_steps", 2, "players.discriminator.moves"),
        ("learning_rate", 0.5, "optimizer.learning_rate"),
        ("vae_beta", 0.5, "vae.beta"),
        ("width", 12, "networks.width"),
        ("family", "vae", "family"),
    ],
)
def test_an_axis_is_called_by_its_path_or_a_unique_end_of_it(axis, value, field):
    (member,) = members({axis: (value,)})
    assert grid.records.flattened(member.config.to_dict())[field] == value


def test_no_penalty_has_a_name_of_its_own():
    none, r1 = members({"penalty": ("none", "r1")})
    assert none.coordinates["penalty"] == "none"
    assert (none.config.penalty.name, r1.config.penalty.name) == ("", "r1")


def test_labels_stand_for_overrides_and_may_begin_with_another_base():
    labels = {"plain": {}, "flow": {"base": "realnvp", "networks": {"width": 7}}}
    flow, plain = members({"family": labels}, overrides={"data": {"name": "grid"}})
    assert (plain.base, plain.config.family, plain.config.networks.width) == ("gan_ring", "gan", 8)
    assert (flow.base, flow.config.family, flow.config.networks.width) == ("realnvp", "flow", 7)
    assert plain.config.data.name == flow.config.data.name == "grid"
    assert flow.coordinates["family"] == "flow"


def test_listed_points_are_combined_with_the_axes():
    points = ({"loss": "hinge", "learning_rate": 1e-3}, {"loss": "minimax", "learning_rate": 1e-4})
    found = members({"seed": (3, 4)}, members=points)
    assert [tuple(member.coordinates.values()) for member in found] == [
        ("hinge", 1e-3, 3), ("hinge", 1e-3, 4), ("minimax", 1e-4, 3), ("minimax", 1e-4, 4),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["random", "quasi_random"])
def test_search_draws_the_same_points_for_every_value(name):
    axes = {
        "loss": ("hinge", "minimax"),
        "learning_rate": base.interval(1e-5, 1e-1),
        "b1": base.interval(0.0, 0.9, "linear"),
    }
    found = members(axes, search={"name": name, "num_draws": 64, "seed": 1})
    own = {
        loss: [(m.config.optimizer.learning_rate, m.config.optimizer.b1) for m in found if m.config.loss == loss]
        for loss in axes["loss"]
    }
    assert own["hinge"] == own["minimax"]
    rates, momenta = zip(*own["hinge"], strict=True)
    assert len(set(rates)) == 64
    assert all(1e-5 <= rate <= 1e-1 for rate in rates) and all(0.0 <= momentum <= 0.9 for momentum in momenta)
    # Half of a log range lies below its geometric mean; 64 draws of a fair coin stay within 4 standard deviations.
    assert abs(sum(rate < 1e-3 for rate in rates) - 32) <= 16


@pytest.mark.filterwarnings("ignore:the load_module")  # of ml_collections
def test_command_gives_the_config_again(monkeypatch):
    label = {"odd": {"data": {"name": "grid"}, "penalty": {"name": "", "weight": 0.25}}}
    (member,) = members({"how": label, "learning_rate": (0.00123,), "seed": (5,)})
    program, module, *arguments = shlex.split(member.command)[1:]
    assert (program, module) == ("-m", "experiments.train")
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values)
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    arguments = ["train", *(argument.replace(".py", ".py:smoke") for argument in arguments)]
    monkeypatch.setattr(sys, "argv", arguments)
    values(arguments)
    assert values.config.to_dict() == member.config.to_dict()
    assert values.workdir == "runs/study_0"


@pytest.mark.parametrize(
    ("axes", "fields", "message"),
    [
        ({"losss": ("hinge",)}, {}, "unknown axis 'losss'; did you mean 'loss'"),
        ({"beta": (1.0,)}, {}, "axis 'beta' may mean any of"),
        ({"loss": ()}, {}, "axes.loss is empty, so that the grid has no member"),
        ({"seed": ()}, {}, "axes.seed is empty"),
        ({"loss": ("hinge", "hinge")}, {}, "twice; each axis must list each value once"),
        ({"width": ("wide",)}, {}, "does not fit the config"),
        ({"how": {"a": {"networks": {"widht": 3}}}}, {}, "does not fit the config"),
        ({"how": {"a": {"base": "gan_rign"}}}, {}, "unknown base config 'gan_rign'; did you mean 'gan_ring'"),
        ({"learning_rate": base.interval(1e-5, 1e-1)}, {}, "search.num_draws must be at least 1"),
        ({"learning_rate": base.interval(0.0, 1e-1)}, {"search": {"num_draws": 2}}, "low above 0"),
        ({"b1": base.interval(0.5, 0.1, "linear")}, {"search": {"num_draws": 2}}, "low < high"),
        ({"b1": base.interval(0.1, 0.5)}, {"search": {"num_draws": 2, "name": "grid"}}, "unknown search.name 'grid'"),
    ],
)
def test_a_grid_that_cannot_be_laid_out_says_why(axes, fields, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        members(axes, **fields)
