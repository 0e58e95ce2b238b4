"""Penalties on parameters: their spectrum, their history, and the game's own gradient field. All are scalars."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from genloss_jax.losses._shared import Scalar, at_least_float32


def _kernels(params: PyTree) -> list[Float[Array, "inputs outputs"]]:
    """Flatten every leaf with two or more axes to a matrix whose columns are the output units, as Flax lays them."""
    kernels = [leaf.reshape(-1, leaf.shape[-1]) for leaf in jax.tree.leaves(params) if jnp.ndim(leaf) >= 2]
    if not kernels:
        raise ValueError("params must hold at least one kernel, an array of two or more axes; it holds none.")
    return kernels


def _squared_sum(tree: PyTree) -> Float[Array, ""]:
    """Sum the squares of all entries of all leaves, in the leaves' own dtype."""
    return jnp.asarray(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))


def orthogonal_penalty(params: PyTree, *, penalise_norms: bool = True) -> Float[Array, ""]:
    """Ask for kernels whose output units are orthogonal.

    `Σ_kernels ‖WᵀW − I‖_F²`, or without `penalise_norms` `Σ_kernels ‖WᵀW ⊙ (1 − I)‖_F²`, which leaves the units'
    norms free, as BigGAN does. W has one column per output unit, its rows all other axes. With more outputs than inputs
    the first form cannot reach zero. Leaves with fewer than two axes (biases, scales) are left out; an embedding table
    counts as a kernel, so pass the subtree that is meant. No ½.

    Args:
        params: tree of arrays, kernels laid out `(..., inputs, outputs)` as in Flax.
        penalise_norms: pull the units' norms to one as well.

    Returns:
        Scalar, fourth power of the weights' unit.

    Raises:
        ValueError: if `params` holds no kernel.

    References:
        Brock et al. 2017, Neural Photo Editing with Introspective Adversarial Networks; Brock et al. 2019, Large Scale
        GAN Training for High Fidelity Natural Image Synthesis, Eq. 2 and 3.
    """

    def deviation(kernel: Float[Array, "inputs outputs"]) -> Float[Array, "outputs outputs"]:
        gram = kernel.T @ kernel
        identity = jnp.eye(gram.shape[0], dtype=gram.dtype)
        return gram - identity if penalise_norms else gram * (1 - identity)

    return _squared_sum([deviation(kernel) for kernel in _kernels(params)])


def spectral_penalty(params: PyTree) -> Float[Array, ""]:
    """Ask for kernels of small spectral norm.

    `½ Σ_kernels σ_max(W)²`, with the paper's ½. The norm is exact, one singular value decomposition per kernel: apply
    it lazily to wide networks. It is the norm of the reshaped kernel, not of the convolution operator. Leaves with
    fewer than two axes are left out.

    Args:
        params: tree of arrays, kernels laid out `(..., inputs, outputs)` as in Flax.

    Returns:
        Scalar, squared unit of the weights.

    Raises:
        ValueError: if `params` holds no kernel.

    References:
        Yoshida and Miyato 2017, Spectral Norm Regularization for Improving the Generalizability of Deep Learning.
    """

    def largest_singular_value(kernel: Float[Array, "inputs outputs"]) -> Float[Array, ""]:
        return jnp.linalg.svd(at_least_float32(kernel), compute_uv=False)[0].astype(kernel.dtype)

    return 0.5 * _squared_sum([largest_singular_value(kernel) for kernel in _kernels(params)])


def historical_average_penalty(params: PyTree, average: PyTree) -> Float[Array, ""]:
    """Keep parameters near their average over training.

    `‖θ − a‖²` summed over all leaves, with `a = (1/t) Σ_s θ_s` held constant. `update_average` with
    `decay = 1 − 1/t` keeps this very average; a fixed decay keeps an exponential one. No ½.

    Args:
        params: tree of arrays θ.
        average: tree a of the same structure and shapes.

    Returns:
        Scalar, squared unit of the weights.

    Raises:
        ValueError: if the two trees differ in structure or shape.

    References:
        Salimans et al. 2016, Improved Techniques for Training GANs, section 3.3.
    """
    _check_same_tree("average", average, "params", params)
    return _squared_sum(jax.tree.map(lambda now, mean: now - jax.lax.stop_gradient(mean), params, average))


def consensus_penalty(
    losses: Mapping[str, Callable[[Mapping[str, Any]], Float[Array, ""]]], params: Mapping[str, Any]
) -> Float[Array, ""]:
    """Ask all players to stand still: the energy of the game's gradient field.

    `½ Σ_players ‖∂L_p / ∂θ_p‖²`, each player's loss differentiated by its own parameters. With the ½; adding
    `gamma * consensus_penalty(...)` to **every** player's loss gives the method with the paper's γ. It vanishes at
    every stationary point of the game, unstable ones included.

    Args:
        losses: player -> loss, a function of all players' params that returns a scalar to be minimised.
        params: player -> tree of arrays, with the same players.

    Returns:
        Scalar, squared gradient of the losses.

    Raises:
        ValueError: if `losses` and `params` do not name the same players.

    References:
        Mescheder et al. 2017, The Numerics of GANs.
    """
    if set(losses) != set(params):
        raise ValueError(f"losses and params must name the same players; got {sorted(losses)} and {sorted(params)}.")

    def own_gradient(player: str) -> PyTree:
        return jax.grad(lambda own: losses[player]({**params, player: own}))(params[player])

    return 0.5 * _squared_sum([own_gradient(player) for player in losses])


def update_average(average: PyTree, values: PyTree, *, decay: Scalar) -> PyTree:
    """Move a running average towards new values: `decay · average + (1 − decay) · values`, without gradient.

    Serves every penalty with a memory: the means of both sides' logits (`lecam_penalty`), the mean of `path_lengths`
    (`path_length_penalty`), parameters (`historical_average_penalty`, with `decay = 1 − 1/t` for the plain mean).
    The start is not debiased: begin with the first values, or with `decay = 0` at the first step.

    Args:
        average: tree of arrays.
        values: tree of the same structure and shapes; averaged over its batch already.
        decay: weight of the past, in [0, 1]; may be traced.

    Returns:
        The new average, a tree like `average`.

    Raises:
        ValueError: if the two trees differ in structure or shape.

    References:
        Tseng et al. 2021 (decay 0.99); Karras et al. 2020 (decay 0.99); Salimans et al. 2016 (1 − 1/t).
    """
    _check_same_tree("values", values, "average", average)
    return jax.lax.stop_gradient(jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, average, values))


def _check_same_tree(name: str, tree: PyTree, reference_name: str, reference: PyTree) -> None:
    """Raise unless two trees agree in structure and in the shapes of their leaves."""
    shapes, expected = ([jnp.shape(leaf) for leaf in jax.tree.leaves(each)] for each in (tree, reference))
    structures: list[Any] = [jax.tree.structure(each) for each in (tree, reference)]
    if structures[0] != structures[1] or shapes != expected:
        raise ValueError(
            f"{name} must have the structure of {reference_name} and leaves of shapes {expected}; got {shapes}."
        )
