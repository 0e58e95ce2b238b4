"""From members to groups: what can be traced shares one program, what cannot makes a group.

A group is trained by one config, in which fields that differ between its members are traced: seeds, rates, weights, and
the choice among heads of a loss or among penalties that need one gradient.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from genloss_jax import training
from genloss_jax._names import OR
from genloss_jax.ablation.grid import Member
from genloss_jax.losses import adversarial, penalties
from genloss_jax.objectives.objective import Batch
from genloss_jax.training import parallel, records


def _any(value: Any) -> None:
    return None


def _is_head(name: str) -> str:
    """Heads that ask for the same share a program; one that costs as much as a network has a program of its own."""
    own = name not in adversarial.names() or adversarial.demand(name) == "all pairs"
    return name if own else f"any head that sees {adversarial.demand(name)}"


def _shares_a_gradient(name: str) -> Any:
    return "any gradient penalty" if name in penalties.switchable() else name


# Field -> what of its value the program depends on. They reach the step through `hyper`, the seed through the key.
TRACED: dict[str, Callable[[Any], Any]] = {
    "seed": _any,
    "loss": _is_head,
    "penalty.name": _shares_a_gradient,
    "penalty.weight": bool,
    "generator_penalty.weight": bool,
    "inputs.instance_noise": bool,
    "inputs.augment_probability": _any,
    "top_k": lambda share: share < 1.0,
    "optimizer.learning_rate": _any,
    "optimizer.b1": _any,
    "optimizer.b2": _any,
    "schedule.ema_decay": bool,
    "vae.beta": _any,
    "vae.alpha": _any,
    "adversarial_autoencoder.beta": _any,
    "adversarial_autoencoder.mmd_weight": _any,
    "adversarial_autoencoder.adversarial_weight": _any,
    "adversarial_autoencoder.feature_weight": _any,
    "adversarial_autoencoder.pixel_weight": _any,
    "adversarial_autoencoder.alpha": _any,
    "adversarial_autoencoder.gamma": _any,
    "adversarial_autoencoder.negative_beta": _any,
    "vq_vae.commitment_weight": _any,
    "vq_vae.codebook_decay": _any,
    "diffusion.min_snr_gamma": _any,
    "diffusion.log_sigma_mean": _any,
    "diffusion.log_sigma_std": _any,
    "diffusion.adaptive_power": _any,
    "energy.magnitude_weight": _any,
    "energy.generative_weight": _any,
}
# Hyper that chooses among branches of the program, and the field whose names they are.
SWITCHED = {"loss_index": "loss", "penalty_index": "penalty.name"}


class Group(NamedTuple):
    """Members that one program trains.

    Attributes:
        name: "g0", "g1", ...
        config: what the program is built from: that of the first member, with all heads and penalties of the group.
        setup: the same, built.
        members: sorted by what the program switches on, so that chunks of neighbours can share a branch.
        hypers: the traced scalars of each.
        switched: names of the hyper that choose among branches.
    """

    name: str
    config: ConfigDict
    setup: training.Setup
    members: tuple[Member, ...]
    hypers: tuple[dict[str, float], ...]
    switched: tuple[str, ...]

    @property
    def branches(self) -> list[tuple[int, ...]]:
        """Give the branch of each member."""
        return [tuple(int(hyper[name]) for name in self.switched) for hyper in self.hypers]


def plan(members: Sequence[Member]) -> tuple[Group, ...]:
    """Split members into groups.

    Args:
        members: of `grid.members`.

    Returns:
        The groups, in the order of their first members.

    Raises:
        ValueError: if a config does not hold together.
    """
    together: dict[str, list[Member]] = {}
    for member in members:
        together.setdefault(_program(member.config), []).append(member)
    return tuple(_group(f"g{index}", own) for index, own in enumerate(together.values()))


def _program(config: ConfigDict) -> str:
    """Write down all that a config's program depends on."""
    fields = records.flattened(config.to_dict())
    return repr(sorted((name, TRACED.get(name, lambda value: value)(value)) for name, value in fields.items()))


def _group(name: str, members: Sequence[Member]) -> Group:
    choices = {
        index: _distinct(_value(member.config, field) for member in members) for index, field in SWITCHED.items()
    }
    switched = tuple(index for index, names in choices.items() if len(names) > 1)
    joined = {SWITCHED[index]: OR.join(choices[index]) for index in switched}
    config = _joined(members[0].config, joined)
    # Whatever `config.parallel` says, devices share members, and each process reads all of their batches.
    placement = parallel.none()
    setup = training.from_config(config, placement=placement)
    known: dict[str, dict[str, float]] = {}

    def hyper(member):
        # Seeds share all of it.
        own = _joined(member.config, {**joined, "seed": 0})
        text = own.to_json_best_effort()
        if text not in known:
            known[text] = training.from_config(own, setup.dataset, placement=placement).hyper
        branch = {index: choices[index].index(_value(member.config, SWITCHED[index])) for index in switched}
        return {**known[text], **branch}

    hypers = {member.number: hyper(member) for member in members}
    ordered = sorted(members, key=lambda member: tuple(hypers[member.number][index] for index in switched))
    return Group(name, config, setup, tuple(ordered), tuple(hypers[member.number] for member in ordered), switched)


def _joined(config: ConfigDict, values: Mapping[str, Any]) -> ConfigDict:
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(values)
    return config.lock()


def _value(config: ConfigDict, field: str) -> Any:
    return records.flattened(config.to_dict())[field]


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


class Estimate(NamedTuple):
    """What a group asks for.

    Attributes:
        bytes_per_member: of the state of a member.
        operations: floating-point operations of one step of a member.
    """

    bytes_per_member: int
    operations: float


def estimate(group: Group) -> Estimate:
    """Count what one member of a group asks for, from shapes alone."""
    state, batch = shapes(group)
    cost = jax.jit(group.setup.step).lower(state, batch).cost_analysis() or {}
    return Estimate(_num_bytes(state), float(cost.get("flops", math.nan)))


def shapes(group: Group) -> tuple[training.TrainState, Batch]:
    """Give the shapes of a member's state and of its batch."""
    batch = jax.tree.map(lambda leaf: leaf[0], group.setup.stream(0).read(1))
    state = jax.eval_shape(group.setup.init, jax.random.key(0), batch, group.hypers[0])
    return state, jax.eval_shape(lambda: batch)


def _num_bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
