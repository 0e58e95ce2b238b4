"""Adversarial losses by name, and the switch that chooses among them inside one compiled program."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from genloss_jax._names import look_up
from genloss_jax.losses._shared import check_index
from genloss_jax.losses.adversarial import _batchwise, _energy, _fgan, _pointwise, _relativistic, _wide
from genloss_jax.losses.adversarial._head import AdversarialLoss

# Differences of logits are antisymmetric, so their targets must be too.
_RELATIVISTIC_BASES = {
    "": _pointwise.non_saturating,
    "_hinge": _pointwise.hinge,
    "_least_squares": _pointwise.least_squares_targets(real=1.0, fake=-1.0, generator=1.0),
}

_LOSSES: dict[str, AdversarialLoss] = {
    "minimax": _pointwise.minimax,
    "non_saturating": _pointwise.non_saturating,
    "label_smoothed": _pointwise.label_smoothed(_pointwise.non_saturating, real_label=0.9),
    "least_squares": _pointwise.least_squares,
    "least_squares_pearson": _pointwise.least_squares_targets(real=1.0, fake=-1.0, generator=0.0),
    "wasserstein": _pointwise.wasserstein,
    "hinge": _pointwise.hinge,
    "boundary_seeking": _pointwise.boundary_seeking,
    **{f"f_gan_{divergence}": _fgan.f_gan(divergence) for divergence in _fgan.F_GAN_DIVERGENCES},
    "alpha_gan": _fgan.alpha_gan(2.0),
    **{
        f"relativistic_{kind}{suffix}": _relativistic.relativistic(base, kind)
        for suffix, base in _RELATIVISTIC_BASES.items()
        for kind in _relativistic.RELATIVISTIC_KINDS
    },
    "relativistic_paired": _relativistic.relativistic_paired,
    "kl_wasserstein": _batchwise.kl_wasserstein,
    "cumulant": _batchwise.cumulant(beta=0.5, gamma=0.5),
    "softmax": _batchwise.softmax,
    "dual_contrastive": _batchwise.dual_contrastive,
    "quadratic_potential": _batchwise.quadratic_potential(1.0),
    "energy_based": _energy.energy_based(1.0),
    "began": _energy.began(0.5),
    "realness": _wide.realness((0.1, 0.2, 0.3, 0.4), (0.4, 0.3, 0.2, 0.1)),
    "multi_hinge": _wide.multi_hinge(),
}

_BATCH = 8

# Known to `get`, but more than logits [batch] are needed: a state in training, or a critic with several outputs.
_NEED_MORE = ("began", "realness", "multi_hinge")


def names() -> tuple[str, ...]:
    """Lists the losses that need nothing but logits `[batch]`, as the command line takes them.

    Bare relativistic names are over `non_saturating`; those that end in `_least_squares` use targets 1 and -1.
    `label_smoothed` has real label 0.9, `alpha_gan` α = 2, `cumulant` β = γ = 1/2; scale and margin are 1. `get` also
    knows "began" (k fixed at 1/2; training moves it with `began_balance`), "realness" (four outcomes) and "multi_hinge"
    (one class), which are left out here.

    Returns:
        The names, in a fixed order.
    """
    return tuple(name for name in _LOSSES if name not in _NEED_MORE)


def get(name: str) -> AdversarialLoss:
    """Looks up a loss by name, with the hyperparameters that `names` states.

    Args:
        name: one of `names()`, or "began", "realness", "multi_hinge".

    Returns:
        The loss.

    Raises:
        ValueError: the name is unknown.
    """
    return look_up("adversarial loss", name, _LOSSES)


@functools.cache
def demand(name: str) -> str:
    """Says what a loss asks of the program around it, which it may share with losses that ask for the same.

    Args:
        name: as in `get`.

    Returns:
        "samples" if the generator's loss looks at fake logits alone, so that no critic need see data in its turn; "both
        sides" if it looks at real ones too; "all pairs" if it compares each with each, in B² operations, which beside a
        small network is much.

    Raises:
        ValueError: the name is unknown.
    """
    loss = get(name)
    if name in _NEED_MORE:
        return "both sides"
    logits = jax.ShapeDtypeStruct((_BATCH,), jnp.float32)
    program = jax.make_jaxpr(loss.generator)(logits, logits).jaxpr
    real = program.invars[0]
    if any(result.aval.size >= _BATCH**2 for equation in program.eqns for result in equation.outvars):
        return "all pairs"
    return "both sides" if any(used is real for equation in program.eqns for used in equation.invars) else "samples"


def switch(names: Sequence[str]) -> Callable[[ArrayLike], AdversarialLoss]:
    """Chooses a loss by a traced index, so that variants with different losses share one compiled program.

    Put it around the head alone, after the networks. With an index that is not batched only the chosen head is
    computed. Under `vmap` over the index all heads are evaluated and one is kept, which costs little beside the
    networks where all have the same `demand` and none compares all pairs of the batch; gradients stay finite, since
    every head's are. They are taken in reverse mode: the backward pass chooses again, and computes that head anew.

    Args:
        names: names that `get` knows, all for logits of one shape.

    Returns:
        A function from an integer index into `names`, traced or not, to the loss. As in `lax.switch`, a traced index
        out of range is clamped.

    Raises:
        ValueError: a name is unknown, there is none, or a Python index is out of range.
    """
    losses = tuple(get(name) for name in names)
    if not losses:
        raise ValueError("names came empty, expected at least one name of an adversarial loss.")

    def choose(index: ArrayLike) -> AdversarialLoss:
        check_index(index, len(losses))

        def discriminator(real_logits: ArrayLike, fake_logits: ArrayLike) -> Array:
            return _one_of([loss.discriminator for loss in losses], index, real_logits, fake_logits)

        def generator(real_logits: ArrayLike, fake_logits: ArrayLike) -> Array:
            return _one_of([loss.generator for loss in losses], index, real_logits, fake_logits)

        return AdversarialLoss(discriminator, generator)

    return choose


def _one_of(heads: Sequence[Callable[..., Array]], index: ArrayLike, *logits: ArrayLike) -> Array:
    """Compute the head of the index, and its gradient without the others.

    The derivative of `lax.switch` itself keeps what any of its branches needs, zeros for those that were not chosen:
    whole matrices, where one of them compares all pairs.
    """

    @jax.custom_vjp
    def choose(index, *logits):
        return jax.lax.switch(index, heads, *logits)

    def forward(index, *logits):
        return choose(index, *logits), (index, logits)

    def backward(kept, cotangent):
        index, logits = kept
        pull_backs = [lambda *logits, head=head: jax.vjp(head, *logits)[1](cotangent) for head in heads]
        return None, *jax.lax.switch(index, pull_backs, *logits)

    choose.defvjp(forward, backward)
    return choose(index, *logits)
