"""What shares a program: each field that is traced, and nothing else."""

import importlib
import re

import jax
import pytest

from configs.ablations import base
from experiments import ablate
from genloss_jax import training
from genloss_jax.ablation import grid, planning

# Field -> a config that reads it, with what else must be set, and another value than the config's own.
TRACED = {
    "penalty.weight": ("gan_ring", {"penalty.weight": 0.1}, 0.2),
    "generator_penalty.weight": (
        "gan_ring",
        {"generator_penalty.weight": 0.1, "generator_penalty.name": "mode_seeking"},
        0.2,
    ),
    "inputs.instance_noise": ("gan_ring", {"inputs.instance_noise": 0.1}, 0.2),
    "inputs.augment_probability": ("gan_digits", {"inputs.augment": "translation"}, 0.2),
    "top_k": ("gan_ring", {"top_k": 0.6}, 0.5),
    "optimizer.learning_rate": ("gan_ring", {}, 0.1),
    "optimizer.b1": ("gan_ring", {}, 0.3),
    "optimizer.b2": ("gan_ring", {}, 0.3),
    "schedule.ema_decay": ("gan_ring", {}, 0.3),
    "vae.beta": ("vae", {}, 0.3),
    "vae.alpha": ("vae", {"vae.bound": "renyi"}, 0.3),
    "adversarial_autoencoder.beta": ("vae_gan", {}, 0.3),
    "adversarial_autoencoder.mmd_weight": ("wae_mmd", {}, 0.3),
    "adversarial_autoencoder.adversarial_weight": ("aae", {}, 0.3),
    "adversarial_autoencoder.feature_weight": ("vae_gan", {}, 0.3),
    "adversarial_autoencoder.pixel_weight": ("vae_gan", {}, 0.3),
    "adversarial_autoencoder.alpha": ("soft_intro_vae", {}, 0.3),
    "adversarial_autoencoder.gamma": ("soft_intro_vae", {}, 0.3),
    "adversarial_autoencoder.negative_beta": ("soft_intro_vae", {}, 0.3),
    "vq_vae.commitment_weight": ("vq_vae", {}, 0.3),
    "vq_vae.codebook_decay": ("vq_vae", {}, 0.3),
    "diffusion.min_snr_gamma": ("ddpm", {"diffusion.min_snr": True}, 0.3),
    "diffusion.log_sigma_mean": ("edm", {}, 0.3),
    "diffusion.log_sigma_std": ("edm", {}, 0.3),
    "diffusion.adaptive_power": ("mean_flow", {}, 0.3),
    "energy.magnitude_weight": ("ebm_pcd", {}, 0.3),
    "energy.generative_weight": ("jem", {}, 0.3),
}
CHOSEN = {"seed", "loss", "penalty.name"}  # by the key, and by an index into what the group has: test_engine.py
QUICK = ("penalty.weight", "optimizer.learning_rate", "optimizer.b1", "top_k", "vae.beta")


def config_of(name, values):
    config = importlib.import_module(f"configs.{name}").get_config("smoke").copy_and_resolve_references()
    config.update_from_flattened_dict(values)
    return config.lock()


def program(config):
    """Write out the step that a config describes, and the scalars that it reads."""
    setup = training.from_config(config)
    group = planning.Group("g", config, setup, (), (setup.hyper,), ())
    text = str(jax.make_jaxpr(setup.step)(*planning.shapes(group)))
    return re.sub("0x[0-9a-f]+", "", text), setup.hyper


def test_every_traced_field_is_tested():
    assert set(TRACED) | CHOSEN == set(planning.TRACED)


@pytest.mark.parametrize(
    "field", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in TRACED]
)
def test_a_traced_field_changes_a_scalar_and_not_the_program(field):
    name, others, value = TRACED[field]
    first, second = config_of(name, others), config_of(name, {**others, field: value})
    (text, hyper), (other_text, other_hyper) = program(first), program(second)
    assert text == other_text
    assert hyper != other_hyper


def groups(axes, **overrides):
    settings = base.get_config()
    settings.name, settings.axes, settings.overrides = "study", axes, overrides
    return planning.plan(grid.members(settings.lock(), ablate.loader("smoke")))


@pytest.mark.parametrize(
    ("axes", "sizes"),
    [
        ({"seed": (0, 1, 2), "learning_rate": (1e-3, 1e-4)}, [6]),
        ({"loss": ("hinge", "minimax", "f_gan_kl")}, [3]),
        ({"loss": ("hinge", "softmax", "relativistic_paired", "minimax")}, [2, 2]),
        ({"loss": ("relativistic_all_pairs", "hinge", "relativistic_all_pairs_hinge")}, [1, 1, 1]),
        ({"penalty": ("r1", "wgan_gp", "dragan"), "penalty_weight": (0.1, 1.0)}, [6]),
        ({"penalty": ("none", "r1", "r2", "lecam"), "penalty_weight": (0.1,)}, [1, 2, 1]),
        ({"penalty_weight": (0.0, 0.1, 0.2)}, [1, 2]),
        ({"critic_steps": (1, 2)}, [1, 1]),
        ({"width": (4, 8), "seed": (0, 1)}, [2, 2]),
        ({"top_k": (1.0, 0.5, 0.6)}, [1, 2]),
    ],
)
def test_what_can_be_traced_shares_a_program(axes, sizes):
    found = groups(axes)
    assert [len(group.members) for group in found] == sizes
    for group in found:
        assert len(group.hypers) == len(group.members)
        assert set(group.setup.hyper) == set(group.hypers[0])
        assert group.branches == sorted(group.branches)


def test_each_member_has_its_own_scalars_in_its_group():
    axes = {"loss": ("hinge", "minimax"), "penalty": ("r1", "dragan"), "penalty_weight": (0.1, 0.2)}
    (group,) = groups(axes)
    heads, terms = group.config.loss.split("|"), group.config.penalty.name.split("|")
    for member, hyper in zip(group.members, group.hypers, strict=True):
        assert heads[hyper["loss_index"]] == member.coordinates["loss"]
        assert terms[hyper["penalty_index"]] == member.coordinates["penalty"]
        assert hyper["penalty_weight"] == member.coordinates["penalty_weight"]


def test_an_estimate_counts_the_state_and_the_arithmetic():
    (group,) = groups({"seed": (0, 1)})
    need = planning.estimate(group)
    state, _ = planning.shapes(group)
    num_params = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    # Parameters, two moments of Adam, and an average of the generator's.
    assert 3 * 4 * num_params < need.bytes_per_member < 4 * 4 * num_params + 200
    # Two losses, each of a forward and a backward pass: 2 operations a parameter and example at the very least.
    assert need.operations > 2 * 2 * num_params * group.config.data.batch_size
