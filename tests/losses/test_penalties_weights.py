"""Penalties on parameters, against known spectra, and of games, against known gradient fields."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import penalties

SINGULAR_VALUES = np.array([2.0, 1.0, 0.5])


def kernel_with(singular_values, inputs, seed=0):
    """A matrix of `inputs` rows with the given singular values and random singular vectors."""
    draw = np.random.default_rng(seed).normal
    left, _ = np.linalg.qr(draw(size=(inputs, len(singular_values))))
    right, _ = np.linalg.qr(draw(size=(len(singular_values), len(singular_values))))
    return jnp.asarray(left @ np.diag(singular_values) @ right.T, jnp.float32)


def test_orthogonal_penalty_of_known_singular_values():
    # Σ (s² − 1)² = 9 + 0 + 0.5625, for the dense kernel and for the same numbers laid out as a convolution.
    dense = kernel_with(SINGULAR_VALUES, 8)
    np.testing.assert_allclose(penalties.orthogonal_penalty({"kernel": dense}), 9.5625, rtol=1e-5)
    both = {"conv": {"kernel": dense.reshape(2, 2, 2, 3), "bias": jnp.full(3, 7.0)}, "dense": {"kernel": dense}}
    np.testing.assert_allclose(penalties.orthogonal_penalty(both), 2 * 9.5625, rtol=1e-5)


def test_orthogonal_penalty_of_wide_kernel_counts_the_columns_that_cannot_be_orthogonal():
    wide = kernel_with(SINGULAR_VALUES, 8).T  # three inputs, eight outputs: five eigenvalues of WᵀW are zero
    np.testing.assert_allclose(penalties.orthogonal_penalty({"kernel": wide}), 9.5625 + 5.0, rtol=1e-5)


def test_orthogonal_penalty_without_norms_leaves_lengths_of_columns_free():
    orthogonal = {"kernel": jnp.array([[3.0, 0.0], [0.0, 0.2], [0.0, 0.0]])}
    np.testing.assert_allclose(penalties.orthogonal_penalty(orthogonal, penalise_norms=False), 0.0, atol=1e-6)
    oblique = {"kernel": jnp.array([[3.0, 1.0], [0.0, 0.2]])}  # inner product 3, counted for both orders
    np.testing.assert_allclose(penalties.orthogonal_penalty(oblique, penalise_norms=False), 18.0, rtol=1e-6)


def test_orthogonal_penalty_gradient_vanishes_at_orthonormal_columns_and_pulls_a_long_column_in():
    def gradient(kernel):
        return jax.grad(lambda each: penalties.orthogonal_penalty({"kernel": each}))(kernel)

    np.testing.assert_allclose(gradient(kernel_with(np.ones(3), 5)), np.zeros((5, 3)), atol=1e-5)
    np.testing.assert_allclose(gradient(jnp.array([[2.0], [0.0]])), [[4 * 2.0 * 3.0], [0.0]], rtol=1e-6)


def test_spectral_penalty_of_known_singular_values():
    dense = kernel_with(SINGULAR_VALUES, 8)
    np.testing.assert_allclose(penalties.spectral_penalty({"kernel": dense}), 0.5 * 4.0, rtol=1e-5)
    both = {"conv": {"kernel": dense.reshape(2, 2, 2, 3), "bias": jnp.full(3, 7.0)}, "dense": {"kernel": 3 * dense}}
    np.testing.assert_allclose(penalties.spectral_penalty(both), 0.5 * (4.0 + 36.0), rtol=1e-5)


def test_spectral_penalty_gradient_is_the_leading_rank_one_part():
    kernel = kernel_with(SINGULAR_VALUES, 8)
    left, values, right = np.linalg.svd(np.asarray(kernel, np.float64), full_matrices=False)
    gradient = jax.grad(lambda each: penalties.spectral_penalty({"kernel": each}))(kernel)
    np.testing.assert_allclose(gradient, values[0] * np.outer(left[:, 0], right[0]), atol=1e-5)


@pytest.mark.parametrize("kernel", [jnp.zeros((4, 3)), jnp.eye(4)], ids=["zero", "all singular values equal"])
def test_spectral_penalty_has_finite_gradient_where_singular_values_coincide(kernel):
    gradient = jax.grad(lambda each: penalties.spectral_penalty({"kernel": each}))(kernel)
    # d ½σ² along the kernel itself is 2·½σ², however the subgradient is chosen.
    np.testing.assert_allclose(jnp.sum(gradient * kernel), kernel[0, 0] ** 2, atol=1e-5)


def test_kernel_penalties_refuse_trees_without_kernels():
    for penalty in (penalties.orthogonal_penalty, penalties.spectral_penalty):
        with pytest.raises(ValueError, match="params must hold at least one kernel"):
            penalty({"bias": jnp.ones(3)})


def test_historical_average_penalty_is_squared_distance_over_all_leaves():
    params = {"kernel": jnp.array([[1.0, 2.0], [3.0, 4.0]]), "bias": jnp.array([0.0, 1.0])}
    average = {"kernel": jnp.array([[1.0, 0.0], [3.0, 1.0]]), "bias": jnp.array([0.0, 5.0])}
    np.testing.assert_allclose(penalties.historical_average_penalty(params, average), 4.0 + 9.0 + 16.0, rtol=1e-6)
    through_average = jax.grad(penalties.historical_average_penalty, argnums=1)(params, average)
    for leaf in jax.tree.leaves(through_average):
        np.testing.assert_array_equal(leaf, np.zeros_like(leaf))


def test_historical_average_penalty_refuses_another_tree():
    with pytest.raises(ValueError, match="average must have the structure of params"):
        penalties.historical_average_penalty({"a": jnp.ones(2)}, {"b": jnp.ones(2)})
    with pytest.raises(ValueError, match="average must have the structure of params"):
        penalties.historical_average_penalty({"a": jnp.ones(2)}, {"a": jnp.ones(())})


def test_update_average_with_decay_one_minus_inverse_step_is_the_plain_mean():
    history = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    average = {"weights": jnp.zeros(3)}
    for step, values in enumerate(history, start=1):
        average = penalties.update_average(average, {"weights": jnp.asarray(values)}, decay=1 - 1 / step)
    np.testing.assert_allclose(average["weights"], history.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_update_average_keeps_the_averages_of_lecam():
    averages = (jnp.float32(1.0), jnp.float32(-1.0))
    averages = penalties.update_average(averages, (jnp.float32(3.0), jnp.float32(0.0)), decay=0.75)
    np.testing.assert_allclose(averages, (1.5, -0.75), rtol=1e-6)


def test_update_average_passes_no_gradient():
    def moved(value):
        return penalties.update_average(jnp.float32(1.0), value, decay=0.5)

    np.testing.assert_array_equal(jax.grad(moved)(jnp.float32(3.0)), 0.0)


def bilinear_game():
    return {
        "discriminator": lambda params: -jnp.sum(params["discriminator"] * params["generator"]),
        "generator": lambda params: jnp.sum(params["discriminator"] * params["generator"]),
    }


def dirac_game():
    """D(x) = ψx on data at 0 and a generator at θ, logistic and zero-sum."""

    def discriminator(params):
        return jax.nn.softplus(params["discriminator"] * params["generator"]) + jnp.log(2.0)

    return {"discriminator": discriminator, "generator": lambda params: -discriminator(params)}


def test_consensus_penalty_of_bilinear_game_is_half_squared_distance_to_equilibrium():
    params = {"discriminator": jnp.array([3.0, 4.0]), "generator": jnp.array([1.0, -2.0])}
    np.testing.assert_allclose(penalties.consensus_penalty(bilinear_game(), params), 0.5 * (25.0 + 5.0), rtol=1e-6)


def test_consensus_penalty_of_dirac_game_is_half_squared_gradient_field():
    # At ψ = 1, θ = ln 3 the slope of the logistic loss is 3/4 and the field (−3/4 θ, 3/4 ψ).
    params = {"discriminator": jnp.float32(1.0), "generator": jnp.log(3.0)}
    expected = 0.5 * 9 / 16 * (1 + np.log(3.0) ** 2)
    np.testing.assert_allclose(penalties.consensus_penalty(dirac_game(), params), expected, rtol=1e-5)


def test_consensus_penalty_differentiates_each_loss_by_its_own_player_alone():
    losses = {
        "discriminator": lambda params: 2.0 * params["discriminator"] + 100.0 * params["generator"],
        "generator": lambda params: 100.0 * params["discriminator"] + 3.0 * params["generator"],
    }
    params = {"discriminator": jnp.float32(0.0), "generator": jnp.float32(0.0)}
    np.testing.assert_allclose(penalties.consensus_penalty(losses, params), 0.5 * (4.0 + 9.0), rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.4])
def test_consensus_penalty_moves_eigenvalues_of_dirac_game_by_a_quarter_of_gamma(gamma):
    """Without it the eigenvalues are ±i/2; the penalty adds −γ JᵀJ, a quarter of the identity."""
    game = dirac_game()

    def field(point):
        params = {"discriminator": point[0], "generator": point[1]}

        def player_gradient(player):
            def loss(own):
                everyone = {**params, player: own}
                return game[player](everyone) + gamma * penalties.consensus_penalty(game, everyone)

            return jax.grad(loss)(params[player])

        return -jnp.stack([player_gradient("discriminator"), player_gradient("generator")])

    eigenvalues = np.linalg.eigvals(jax.jacobian(field)(jnp.zeros(2)))
    np.testing.assert_allclose(
        sorted(eigenvalues, key=np.imag), [-gamma / 4 - 0.5j, -gamma / 4 + 0.5j], rtol=1e-5, atol=1e-6
    )


def test_consensus_penalty_refuses_other_players():
    with pytest.raises(ValueError, match="losses and params must name the same players"):
        penalties.consensus_penalty(bilinear_game(), {"critic": jnp.ones(2), "generator": jnp.ones(2)})
