"""Optimal transport of two batches: exact by assignment, and entropic by Sinkhorn's iterations."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from genloss_jax.losses.divergences._shared import check_batches, squared_distances


def wasserstein_squared_distance(x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, ""]:
    """Compute the squared Wasserstein-2 distance of two equally large batches, exactly.

    W2² = min over permutations p of 1/N Σ_i |x_i − y_p(i)|²

    An assignment problem, solved inside the compiled program in at most N² short steps one after another. Between
    samples of two distributions it is biased upwards, strongly so in many dimensions; as a statistic of distributions
    take `sinkhorn_divergence` or the sliced distance. The gradient is that at the optimal permutation.

    Args:
        x: `[N, D]` examples.
        y: `[N, D]` examples, as many as in `x`.

    Returns:
        Scalar, squared, in the unit of x².

    Raises:
        ValueError: if a batch is not `[N, D]`, or the shapes differ.

    References:
        Crouse 2016, On Implementing 2D Rectangular Assignment Algorithms (the algorithm).
    """
    check_batches(x, y)
    if len(x) != len(y):
        raise ValueError(f"y has {len(y)} rows, expected {len(x)}, as many as x.")
    costs = squared_distances(x, y)
    partners = optimal_assignment(jax.lax.stop_gradient(costs))
    return jnp.mean(jnp.take_along_axis(costs, partners[:, None], axis=1))


def sinkhorn_divergence(
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    *,
    epsilon: float | int | Float[Array, ""],
    max_iterations: int = 500,
    tolerance: float = 1e-4,
) -> Float[Array, ""]:
    """Compute the Sinkhorn divergence of two batches: entropic optimal transport without its bias.

    S = OT(x, y) − ½ OT(x, x) − ½ OT(y, y), OT(x, y) = min over plans P of Σ P_ij |x_i − y_j|² + ε KL(P || uniform)

    The cost is the squared distance without ½, and KL is against the product of the marginals: epsilon = 2 σ² for the
    kernel exp(−|x − y|² / (2 σ²)). It tends to W2² as epsilon falls and to |mean_x − mean_y|² as it grows; a batch and
    its translate by δ are |δ|² apart at every epsilon. It is 0 for equal batches and positive otherwise.

    Each OT is the dual value at the potentials that the iterations reach, a lower bound that is exact at convergence.
    The farther epsilon is below the squared distances between neighbours, the more iterations that takes. The gradient
    is taken at fixed potentials, which is exact at convergence, and through which no second derivative flows.

    Args:
        x: `[N, D]` examples.
        y: `[M, D]` examples; M may differ from N.
        epsilon: temperature, positive, in the squared unit of x; may be traced.
        max_iterations: after which the iterations end, converged or not.
        tolerance: they end when the logarithm of the plan's marginals changes by no more than this.

    Returns:
        Scalar, squared, in the unit of x².

    Raises:
        ValueError: if a batch is not `[N, D]`, if D differs, or if `epsilon` is not positive.

    References:
        Feydy et al. 2019, Interpolating between Optimal Transport and MMD using Sinkhorn Divergences.
    """
    check_batches(x, y)
    _check_epsilon(epsilon)
    wide_x, wide_y = (batch.astype(jnp.promote_types(batch.dtype, jnp.float32)) for batch in (x, y))

    def transport_cost(first, second, update):
        costs = squared_distances(first, second)
        potentials = _potentials(jax.lax.stop_gradient(costs), update, epsilon, max_iterations, tolerance)
        # Concave in the potentials, with its maximum at OT; its slope in the costs is the plan.
        excess = jnp.mean(jnp.expm1(_log_density(costs, potentials, epsilon)))
        return jnp.mean(potentials.rows) + jnp.mean(potentials.columns) - epsilon * excess

    within = transport_cost(wide_x, wide_x, _average) + transport_cost(wide_y, wide_y, _average)
    return (transport_cost(wide_x, wide_y, _alternate) - 0.5 * within).astype(x.dtype)


def entropic_log_plan(
    costs: Float[Array, "n m"], *, epsilon: float | int | Float[Array, ""], max_iterations: int, tolerance: float = 1e-4
) -> Float[Array, "n m"]:
    """Find the entropic optimal plan of a matrix of costs: log of N M P, whose rows and columns have mean 1."""
    _check_epsilon(epsilon)
    potentials = _potentials(costs, _alternate, epsilon, max_iterations, tolerance)
    return _log_density(costs, potentials, epsilon)


def optimal_assignment(costs: Float[Array, "n n"]) -> Int[Array, " n"]:
    """Find the column of each row such that each column is taken once and the sum of costs is least.

    Rows join one by one, each along the shortest augmenting path in costs reduced by the duals of rows and columns.
    """
    num = costs.shape[0]
    # Finite and at most 1 in size, so that the paths end whatever came.
    costs = jnp.where(jnp.isfinite(costs), costs, 0)
    costs = costs / jnp.maximum(jnp.max(jnp.abs(costs)), jnp.finfo(costs.dtype).tiny)
    free = jnp.full(num, -1, jnp.int32)

    def join(new_row, state):
        column_of, row_of, row_duals, column_duals = state

        def grow(tree):
            lengths, parents, reached, row, length, _ = tree
            through = length + costs[row] - row_duals[row] - column_duals
            shorter = ~reached & (through < lengths)
            lengths, parents = jnp.where(shorter, through, lengths), jnp.where(shorter, row, parents)
            column = jnp.argmin(jnp.where(reached, jnp.inf, lengths)).astype(jnp.int32)
            return lengths, parents, reached.at[column].set(True), row_of[column], lengths[column], column

        root = jnp.full(num, jnp.inf, costs.dtype), free, jnp.zeros(num, bool), new_row, jnp.zeros((), costs.dtype), -1
        lengths, parents, reached, _, length, last = jax.lax.while_loop(lambda tree: tree[3] >= 0, grow, root)
        slack = jnp.where(reached, length - lengths, 0)
        row_duals = (row_duals + jnp.where(column_of >= 0, slack[column_of], 0)).at[new_row].add(length)

        def augment(path):
            column, column_of, row_of = path
            row = parents[column]
            return column_of[row], column_of.at[row].set(column), row_of.at[column].set(row)

        _, column_of, row_of = jax.lax.while_loop(lambda path: path[0] >= 0, augment, (last, column_of, row_of))
        return column_of, row_of, row_duals, column_duals - slack

    duals = jnp.zeros(num, costs.dtype)
    return jax.lax.fori_loop(0, num, join, (free, free, duals, duals))[0]


class _Potentials(NamedTuple):
    rows: Float[Array, " n"]
    columns: Float[Array, " m"]


def _potentials(costs, update, epsilon, max_iterations, tolerance):
    """Iterate to the potentials of entropic transport, at temperatures that fall to epsilon."""

    def unfinished(state):
        _, temperature, change, iteration = state
        return (iteration < max_iterations) & ((temperature > epsilon) | (change > tolerance * epsilon))

    def iterate(state):
        potentials, temperature, _, iteration = state
        temperature = jnp.maximum(0.5 * temperature, epsilon)
        new = update(costs, potentials, temperature)
        change = jnp.max(jnp.abs(new.columns - potentials.columns))
        return new, temperature, change, iteration + 1

    zeros = _Potentials(*(jnp.zeros(size, costs.dtype) for size in costs.shape))
    warm = jnp.maximum(jnp.max(costs) - jnp.min(costs), epsilon).astype(costs.dtype)
    potentials, *_ = jax.lax.while_loop(unfinished, iterate, (zeros, warm, jnp.full_like(warm, jnp.inf), 0))
    # Rows last: their marginal is exact, so that the dual value is the mean of the potentials.
    return potentials._replace(rows=_soft_minimum(costs - potentials.columns[None], epsilon, axis=1))


def _alternate(costs, potentials, temperature):
    """Update rows, then columns given them: Sinkhorn's iteration."""
    rows = _soft_minimum(costs - potentials.columns[None], temperature, axis=1)
    return _Potentials(rows, _soft_minimum(costs - rows[:, None], temperature, axis=0))


def _average(costs, potentials, temperature):
    """Update the one potential of a batch against itself: halfway, where the errors at least halve."""
    middle = 0.5 * (potentials.columns + _soft_minimum(costs - potentials.columns[None], temperature, axis=1))
    return _Potentials(middle, middle)


def _soft_minimum(values, temperature, axis):
    """Compute −ε log mean exp(−values / ε)."""
    return -temperature * (jax.nn.logsumexp(-values / temperature, axis) - jnp.log(values.shape[axis]))


def _log_density(costs, potentials, epsilon):
    """Compute the logarithm of the plan's density with respect to the product of its marginals."""
    return (potentials.rows[:, None] + potentials.columns[None] - costs) / epsilon


def _check_epsilon(epsilon):
    if isinstance(epsilon, int | float) and not epsilon > 0:
        raise ValueError(f"epsilon is {epsilon}, expected a positive number.")
