"""Members trained together are what each would be alone."""

import importlib

import jax
import numpy as np
import pytest

from configs.ablations import base
from experiments import ablate
from genloss_jax import training
from genloss_jax.ablation import engine, grid, planning
from genloss_jax.ablation.engine import Chunk, Program
from genloss_jax.objectives.configured import FAMILIES as KNOWN

# One config of each family.
FAMILIES = ("gan_ring", "vae", "hvae", "vq_vae", "aae", "realnvp", "ddpm", "ebm_nce", "pixelcnn")
STEPS = 10


def groups_of(axes, name="gan_ring", **overrides):
    settings = base.get_config()
    settings.name, settings.base, settings.axes, settings.overrides = "study", name, axes, overrides
    return planning.plan(grid.members(settings.lock(), ablate.loader("smoke")))


def trained(group, chunk, steps=STEPS, mixed=True, program=None):
    """Train a chunk; give its states, its watch and the program."""
    program = program or Program(group, mixed)
    states, watch = program.start(chunk)
    streams = engine.Streams(group, chunk)
    states, watch = program.steps(states, watch, streams.read(steps), streams.which)
    return jax.device_get((states._replace(key=()), watch)), program


def whole(group):
    return Chunk("g0_0", tuple(range(len(group.members))), len(group.members))


def alone(config, steps=STEPS):
    """Train a config as `experiments.train` does."""
    setup = training.from_config(config)
    events = training.run(
        setup.step, setup.state(config.seed), setup.stream(config.seed), total_steps=steps, stop_every={},
        steps_per_dispatch=steps,
    )  # fmt: skip
    return jax.device_get([event.state.params for event in events][-1])


def worst_difference(first, second):
    """Give the largest difference of two trees, relative to numbers above 1."""
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return max(np.max(np.abs(a - b) / np.maximum(np.abs(a), 1.0)) for a, b in pairs)


def member_of(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


@pytest.mark.parametrize(
    "name", [*FAMILIES[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES[2:])]
)
def test_a_member_is_the_same_config_trained_alone(name):
    # Attention does not see the bias of its keys, and some kernels see pixels that are nearly always 0: their gradients
    # are rounding noise, which Adam scales to a step.
    overrides = {"optimizer": {"name": "sgd"}} if name in ("vq_vae", "pixelcnn") else {}
    (group,) = groups_of({"seed": (0, 7), "learning_rate": (1e-3, 2e-4)}, name, **overrides)
    (states, _), _ = trained(group, whole(group))
    for index in (1, 2):
        assert worst_difference(alone(group.members[index].config), member_of(states.params, index)) < 1e-6


def test_every_family_is_among_those_compared():
    assert {importlib.import_module(f"configs.{name}").get_config().family for name in FAMILIES} == set(KNOWN)


@pytest.fixture(scope="module")
def many():
    """Give a group of two losses and two penalties, each with four members, and all of them trained at once."""
    axes = {"loss": ("hinge", "non_saturating"), "penalty": ("r1", "wgan_gp"), "seed": (0, 1), "b1": (0.0, 0.5)}
    (group,) = groups_of(axes, penalty={"weight": 0.1})
    (states, _), program = trained(group, whole(group))
    return group, states, program


@pytest.mark.parametrize("index", [3, 12])
def test_members_of_different_heads_and_penalties_share_a_program_and_are_themselves(many, index):
    group, states, _ = many
    assert group.switched == ("loss_index", "penalty_index")
    assert worst_difference(alone(group.members[index].config), member_of(states.params, index)) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aae", "ali", "vae_gan"])
def test_heads_of_autoencoders_share_a_program_too(name):
    (group,) = groups_of({"loss": ("hinge", "non_saturating"), "seed": (3,)}, name, optimizer={"name": "sgd"})
    (states, _), _ = trained(group, whole(group))
    for index in (0, 1):
        assert worst_difference(alone(group.members[index].config), member_of(states.params, index)) < 1e-6


def test_chunks_of_one_branch_equal_mixed_ones(many):
    group, mixed, _ = many
    cut = engine.cut(group, 4)
    assert not cut.mixed and cut.size == 4
    program = Program(group, cut.mixed)
    for chunk in cut.chunks:
        assert len({group.branches[index] for index in chunk.members}) == 1
        (states, _), _ = trained(group, chunk, program=program)
        for place, index in enumerate(chunk.members):
            assert worst_difference(member_of(mixed.params, index), member_of(states.params, place)) < 1e-6


@pytest.mark.parametrize(("size", "sizes", "mixed"), [(1, 1, False), (3, 2, False), (8, 4, False), (16, 16, True)])
def test_chunks_hold_every_member_once(many, size, sizes, mixed):
    cut = engine.cut(many[0], size)
    assert (cut.size, cut.mixed) == (sizes, mixed)
    assert sorted(index for chunk in cut.chunks for index in chunk.members) == list(range(16))
    assert all(len(chunk.filled) == cut.size for chunk in cut.chunks)
    assert len({chunk.name for chunk in cut.chunks}) == len(cut.chunks)


def test_a_chunk_of_one_is_not_vmapped(many):
    group, mixed, _ = many
    chunk = Chunk("g0_0", (3,), 1)
    (states, _), program = trained(group, chunk, mixed=False)
    assert worst_difference(member_of(mixed.params, 3), member_of(states.params, 0)) < 1e-6
    streams = engine.Streams(group, chunk)
    text = str(jax.make_jaxpr(program.steps)(*program.start(chunk), streams.read(2), streams.which))
    # The axes over which products are taken, and those that vmap adds.
    assert "dimension_numbers=(([1], [0]), ([], []))" in text and "([0], [0]))" not in text


def test_a_member_that_breaks_is_marked_and_frozen_and_changes_no_bit_of_the_others():
    with_broken, sound = (
        groups_of({"learning_rate": rates, "seed": (0,)}, optimizer={"name": "sgd"})[0]
        for rates in ((1e-3, 1e-4, 1e30), (1e-3, 1e-4, 1e-2))
    )
    (states, watch), program = trained(with_broken, whole(with_broken))
    (expected, sound_watch), _ = trained(sound, whole(sound))
    for index in (0, 1):
        jax.tree.map(np.testing.assert_array_equal, member_of(states.params, index), member_of(expected.params, index))
    assert list(watch.step[:2]) == [0, 0] and watch.step[2] > 0 and not sound_watch.step.any()
    assert program.term(watch, 2).startswith(("discriminator/", "generator/"))
    # Frozen: the member that broke stands where it stood before the step that broke it.
    (before, _), _ = trained(with_broken, whole(with_broken), int(watch.step[2]) - 1, program=program)
    jax.tree.map(np.testing.assert_array_equal, member_of(states.params, 2), member_of(before.params, 2))


def test_records_and_samples_do_not_depend_on_where_a_chunk_was_interrupted(many, tmp_path):
    group, _, program = many
    look = engine.looker(group, training.evaluator(group.setup, group.config), num_kept=5)
    config = group.config.copy_and_resolve_references()
    config.training.update({"total_steps": 12, "evaluate_every_steps": 4, "checkpoint_every_steps": 2})
    group, chunk = group._replace(config=config.lock()), Chunk("g0_0", (0, 1, 2), 4)

    def train(directory):
        yield from engine.train(group, program, chunk, look, directory, steps_per_dispatch=2)

    assert [stop.step for stop in train(tmp_path / "whole")] == [2, 4, 6, 8, 10, 12]
    for stop in train(tmp_path / "cut"):
        if stop.step == 10:
            break
    assert not engine.is_done(tmp_path / "cut", chunk, 12)
    # What was written after the last checkpoint, and a line that was not finished, are of a path that is walked again.
    with (tmp_path / "cut" / "g0_0.jsonl").open("a") as file:
        file.write('{"step": 11, "values": {}}\n{"ste')
    resumed = list(train(tmp_path / "cut"))
    assert [(stop.step, stop.seconds > 0.0) for stop in resumed] == [(10, False), (12, True)]
    (done,) = train(tmp_path / "cut")
    assert (done.step, done.seconds, done.advanced) == (12, 0.0, 36)
    # Killed when all was recorded, and before the checkpoints were removed.
    for stop in train(tmp_path / "last"):
        if stop.step == 12:
            break
    assert list((tmp_path / "last" / "checkpoints").iterdir())
    assert [stop.seconds for stop in train(tmp_path / "last")] == [0.0]
    for directory in ("whole", "cut", "last"):
        assert not list((tmp_path / directory / "checkpoints").iterdir())
    for name in ("g0_0.jsonl", "g0_0.npz"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    lines = engine.read(tmp_path / "cut", chunk)
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert all(len(values) == 3 for line in lines for values in line["values"].values())
    assert np.load(tmp_path / "cut" / "g0_0.npz")["samples"].shape == (3, 5, 2)


def test_a_member_broken_from_the_start_is_recorded_as_such(tmp_path):
    (group,) = groups_of(
        {"learning_rate": (1e30, 1e-3), "seed": (0,)}, optimizer={"name": "sgd"}, training={"total_steps": 8}
    )
    look, chunk = engine.looker(group, training.evaluator(group.setup, group.config), num_kept=5), whole(group)
    *_, last = engine.train(group, Program(group, mixed=True), chunk, look, tmp_path, steps_per_dispatch=2)
    (line,) = [line for line in engine.read(tmp_path, chunk) if line["step"] == 8]
    assert last.failed == 1
    assert list(line["faults"]) == ["0"] and 1 <= line["faults"]["0"][0] <= 8
    assert all(values[0] is None and values[1] is not None for values in line["values"].values())
