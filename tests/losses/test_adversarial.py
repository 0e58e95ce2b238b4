"""Adversarial games on four symbols: optimal critics, values and directions against solutions on paper or by SciPy.

A critic is a table of logits. Batches hold each symbol as often as its probability says, so that a mean over the batch
is the exact expectation; losses of pairs get all pairs.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import adversarial
from tests.reference import games

pytestmark = pytest.mark.usefixtures("double")

REAL_COUNTS, FAKE_COUNTS = np.array([8, 6, 2, 4]), np.array([2, 3, 9, 6])
P, Q = REAL_COUNTS / 20, FAKE_COUNTS / 20
NEED_MORE = ("began", "realness", "multi_hinge")
ALL = (*adversarial.names(), *NEED_MORE)
# Optimal at infinity, at a kink, or under a constraint; or only in the limit of large batches.
NOT_STATIONARY = {
    "wasserstein",
    "hinge",
    "multi_hinge",
    "energy_based",
    "began",
    "dual_contrastive",
    *(name for name in ALL if name.startswith("relativistic_") and name.endswith("_hinge")),
}


def in_pairs(name):
    return name.startswith("relativistic_paired") or name == "quadratic_potential"


def batch_of(name, real_counts=REAL_COUNTS, fake_counts=FAKE_COUNTS):
    """Symbols of the real and the fake examples."""
    real, fake = (np.repeat(np.arange(len(counts)), counts) for counts in (real_counts, fake_counts))
    return (np.repeat(real, len(fake)), np.tile(fake, len(real))) if in_pairs(name) else (real, fake)


def play(name, table, symbols=None):
    """Mean losses of both players for a table of logits."""
    real, fake = batch_of(name) if symbols is None else symbols
    table = jnp.asarray(table)
    loss = adversarial.get(name)
    return jnp.mean(loss.discriminator(table[real], table[fake])), jnp.mean(loss.generator(table[real], table[fake]))


def generator_pull(name, table, copies=20):
    """Derivatives of the generator's mean loss as mass moves from symbol 0 to each of the others, the critic held."""
    moves = np.eye(len(Q), dtype=int)[1:] - np.eye(len(Q), dtype=int)[0]
    real = REAL_COUNTS if in_pairs(name) else copies * REAL_COUNTS

    def loss(counts):
        return float(play(name, table, batch_of(name, real, counts))[1])

    size = copies * FAKE_COUNTS.sum()
    return np.array([(loss(copies * FAKE_COUNTS + m) - loss(copies * FAKE_COUNTS - m)) / 2 * size for m in moves])


def in_softmax_parameters(pull):
    """The gradient in the parameters of a softmax model, from derivatives relative to symbol 0."""
    slopes = np.concatenate([[0.0], pull])
    return Q * (slopes - Q @ slopes)


@pytest.mark.parametrize("name", ALL)
def test_both_players_at_the_optimal_critic(name):
    game = games.solve(name, P, Q, batch=20)
    assert abs(game.discriminator) > 1e-3 and abs(game.generator) > 1e-3  # else a factor of 2 would pass
    discriminator, generator = play(name, game.critic)
    np.testing.assert_allclose(discriminator, game.discriminator, rtol=1e-6)
    np.testing.assert_allclose(generator, game.generator, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in ALL if name not in NOT_STATIONARY])
def test_discriminator_is_stationary_at_the_optimal_critic(name):
    critic = games.solve(name, P, Q, batch=20).critic
    slopes = jax.grad(lambda table: play(name, table)[0])(jnp.asarray(critic))
    np.testing.assert_allclose(slopes, 0.0, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in ALL if name != "dual_contrastive"])
def test_no_other_critic_has_a_lower_discriminator_loss(name):
    critic = games.solve(name, P, Q, batch=20).critic
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(64, *critic.shape)) * np.geomspace(1e-3, 3.0, 64).reshape(-1, *[1] * critic.ndim)
    others = critic + noise
    if name == "wasserstein":  # within the 1-Lipschitz critics
        slopes = np.clip(np.diff(others) / np.diff(games.POSITIONS), -1, 1) * np.diff(games.POSITIONS)
        others = np.concatenate([np.zeros((64, 1)), np.cumsum(slopes, 1)], 1)
    if name in ("energy_based", "began"):  # within the energies that the theory admits
        others = np.clip(others, -1, 0)
    symbols = batch_of(name)
    values = jax.vmap(lambda table: play(name, table, symbols)[0])(jnp.asarray(others))
    least = play(name, critic)[0]
    assert np.min(values) >= least - 1e-12
    assert np.max(values) > least + 1e-3 or name == "f_gan_total_variation"


@pytest.mark.parametrize("name", games.DESCENDED)
def test_generator_gradient_is_the_gradient_of_its_divergence(name):
    critic = games.solve(name, P, Q, batch=20).critic
    expected = games.pull(games.DESCENDED[name], P, Q)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(generator_pull(name, critic), expected, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("name", games.DESCENDED_IN_DIRECTION)
def test_generator_descends_its_divergence(name):
    critic = games.solve(name, P, Q, batch=20).critic
    mine = in_softmax_parameters(generator_pull(name, critic))
    wanted = in_softmax_parameters(games.pull(games.DESCENDED_IN_DIRECTION[name], P, Q))
    assert mine @ wanted > 0.3 * np.linalg.norm(mine) * np.linalg.norm(wanted) > 0


@pytest.mark.parametrize("name", ["boundary_seeking", "softmax", "least_squares_pearson"])
def test_generator_pushes_mass_away_where_the_model_has_too_little(name):
    """The cards say that these are no descent directions at a fixed critic; symbol 0 has p = 4 q, symbol 1 p = 2 q."""
    critic = games.solve(name, P, Q, batch=20).critic
    pull = generator_pull(name, critic)
    assert pull[0] < -1e-3  # from the symbol that lacks more to the one that lacks less


def test_every_listed_loss_has_a_proven_direction_or_a_counterexample():
    without = {"boundary_seeking", "softmax", "least_squares_pearson"}
    assert set(ALL) == set(games.DESCENDED) | set(games.DESCENDED_IN_DIRECTION) | without


@pytest.mark.parametrize("alpha", [0.5, 0.75, 1.0, 3.0])
def test_alpha_gan_measures_arimoto_divergence_of_its_order(alpha):
    real, fake = batch_of("alpha_gan")
    table = jnp.asarray(alpha * np.log(P / Q))
    value = -adversarial.alpha_gan(alpha).discriminator(table[real], table[fake]).mean()
    expected = 2 * games.jensen_shannon(P, Q) - np.log(4) if alpha == 1.0 else games.arimoto(P, Q, alpha)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    if alpha == 0.5:
        np.testing.assert_allclose(value, games.f_divergence(P, Q, "squared_hellinger") - 2, rtol=1e-9)


def test_alpha_gan_tends_to_total_variation():
    real, fake = batch_of("alpha_gan")
    table = jnp.asarray(30 * np.sign(P - Q))
    value = -adversarial.alpha_gan(float("inf")).discriminator(table[real], table[fake]).mean()
    np.testing.assert_allclose(value, games.total_variation(P, Q) - 1, rtol=1e-9)


def test_alpha_gan_of_order_one_is_minimax():
    real, fake = jnp.linspace(-3, 3, 7), jnp.linspace(2, -5, 7)
    one = adversarial.alpha_gan(1.0)
    np.testing.assert_allclose(one.discriminator(real, fake), adversarial.minimax.discriminator(real, fake), rtol=1e-12)
    np.testing.assert_allclose(one.generator(real, fake), adversarial.minimax.generator(real, fake), rtol=1e-12)


def test_f_gan_and_alpha_gan_practical_generators_do_not_saturate():
    real, fake = jnp.zeros(1), jnp.full(1, -20.0)
    for loss, saturated in [
        (adversarial.f_gan("gan", saturating=False), adversarial.f_gan("gan")),
        (adversarial.alpha_gan(1.0, saturating=False), adversarial.alpha_gan(1.0)),
    ]:
        np.testing.assert_allclose(loss.generator(real, fake), 20 + np.log1p(np.exp(-20.0)), rtol=1e-12)
        slope = [
            jax.grad(lambda x, head=head: head(real, x).sum())(fake)[0]
            for head in (loss.generator, saturated.generator)
        ]
        np.testing.assert_allclose(slope, [-1.0, 0.0], atol=1e-8)


@pytest.mark.parametrize("divergence", list(games.F_DIVERGENCES))
def test_f_gan_never_exceeds_its_divergence(divergence):
    """Fenchel-Young for any two logits: T(a) p - f*(T(b)) q summed is at most D_f, for critics far from the optimum."""
    table = jnp.asarray(np.random.default_rng(1).normal(size=(200, 4)) * 4)
    real, fake = batch_of("f_gan")
    head = adversarial.f_gan(divergence).discriminator
    bounds = -jax.vmap(lambda t: jnp.mean(head(t[real], t[fake])))(table)
    assert float(bounds.max()) <= games.f_divergence(P, Q, divergence) + 1e-12


@pytest.mark.parametrize(("beta", "gamma"), [(0.25, 0.75), (0.7, 0.3), (1.0, 0.0), (0.0, 1.0)])
def test_cumulant_gan_measures_renyi_divergence(beta, gamma):
    real, fake = batch_of("cumulant")
    table = jnp.asarray(np.log(P / Q) - 1.3)
    value = -adversarial.cumulant(beta=beta, gamma=gamma).discriminator(table[real], table[fake]).mean()
    limits = {(1.0, 0.0): games.kl(Q, P), (0.0, 1.0): games.kl(P, Q)}
    expected = limits.get((beta, gamma))
    if expected is None:
        expected = np.log(np.sum(P**gamma * Q ** (1 - gamma))) / (gamma - 1) / gamma
    np.testing.assert_allclose(value, expected, rtol=1e-9)


def test_cumulant_gan_without_rates_is_wasserstein():
    real, fake = jnp.linspace(-3, 3, 5), jnp.linspace(2, -5, 5)
    loss = adversarial.cumulant(beta=0.0, gamma=0.0)
    np.testing.assert_array_equal(loss.discriminator(real, fake), fake - real)
    np.testing.assert_array_equal(loss.generator(real, fake), -fake)


def test_kl_wasserstein_gradient_is_that_of_reweighted_fakes():
    real, fake = jnp.array([0.3, -1.0, 2.0]), jnp.array([1.0, -0.5, 0.2])
    weights = np.exp(fake) / np.exp(fake).sum()
    slopes = jax.grad(lambda r, f: adversarial.kl_wasserstein.discriminator(r, f).mean(), (0, 1))(real, fake)
    np.testing.assert_allclose(slopes[0], -np.full(3, 1 / 3), rtol=1e-12)
    np.testing.assert_allclose(slopes[1], weights, rtol=1e-12)


def test_least_squares_with_targets_1_minus_1_0_is_pearson_chi_square():
    """As printed: the generator's objective over both sides at the optimal critic is half χ²(2q ‖ p + q)."""
    loss = adversarial.least_squares_targets(real=1.0, fake=-1.0, generator=0.0)
    real, fake = batch_of("least_squares")
    table = jnp.asarray((P - Q) / (P + Q))
    both = loss.generator(table[real], table[fake]).mean() + loss.generator(table[fake], table[real]).mean()
    np.testing.assert_allclose(both, 0.5 * np.sum((2 * Q - (P + Q)) ** 2 / (P + Q)), rtol=1e-12)


def test_zero_sum_relativistic_game_descends_the_paired_jensen_shannon_divergence():
    """The published game, whose gradient in q is the divergence's own, unlike the generator that is trained."""
    loss = adversarial.relativistic(adversarial.minimax, "all_pairs", zero_sum=True)
    table, copies = jnp.asarray(np.log(P / Q)), 20

    def value(counts):
        real, fake = batch_of("all_pairs", copies * REAL_COUNTS, counts)
        return float(loss.generator(table[real], table[fake]).mean())

    moves = np.eye(4, dtype=int)[1:] - np.eye(4, dtype=int)[0]
    pull = [(value(copies * FAKE_COUNTS + m) - value(copies * FAKE_COUNTS - m)) * 200 for m in moves]
    np.testing.assert_allclose(pull, games.pull(games.paired_jensen_shannon, P, Q), rtol=1e-4)
    np.testing.assert_allclose(value(copies * FAKE_COUNTS), games.paired_jensen_shannon(P, Q) - np.log(2), rtol=1e-9)


def test_relativistic_saturates_at_log_2_on_disjoint_supports():
    real, fake = jnp.full(4, 400.0), jnp.full(4, -400.0)
    assert float(adversarial.get("relativistic_paired").discriminator(real, fake).mean()) == 0.0
    np.testing.assert_allclose(games.paired_jensen_shannon(np.array([1.0, 0]), np.array([0, 1.0])), np.log(2))


def test_centered_relativistic_measures_twice_jensen_shannon_for_mirrored_distributions():
    """With q the mirror of p, log p/q is centred already, so the constraint costs nothing."""
    mirror = REAL_COUNTS[[1, 0, 3, 2]]
    real, fake = batch_of("centered", REAL_COUNTS, mirror)
    table = jnp.asarray(np.log(REAL_COUNTS / mirror))
    value = adversarial.get("relativistic_centered").discriminator(table[real], table[fake]).mean()
    np.testing.assert_allclose(value, np.log(4) - 2 * games.jensen_shannon(P, mirror / 20), rtol=1e-9)


@pytest.mark.parametrize("base", ["", "_hinge", "_least_squares"])
def test_all_pairs_is_the_paired_loss_over_every_pair(base):
    rng = np.random.default_rng(2)
    real, fake = jnp.asarray(rng.normal(size=5)), jnp.asarray(rng.normal(size=5))
    pairs, paired = adversarial.get(f"relativistic_all_pairs{base}"), adversarial.get(f"relativistic_paired{base}")
    for player in ("discriminator", "generator"):
        every = getattr(paired, player)(jnp.repeat(real, 5), jnp.tile(fake, 5))
        np.testing.assert_allclose(getattr(pairs, player)(real, fake).mean(), every.mean(), rtol=1e-12)


def test_dual_contrastive_optimum_tends_to_log_ratio_and_jeffreys():
    table = jnp.asarray(np.log(P / Q))

    def slopes_and_gap(copies):
        symbols = batch_of("dual_contrastive", copies * REAL_COUNTS, copies * FAKE_COUNTS)
        value, slopes = jax.value_and_grad(lambda t: play("dual_contrastive", t, symbols)[0])(table)
        jeffreys = games.kl(P, Q) + games.kl(Q, P)
        return np.abs(slopes).max(), abs(float(value) - (2 * np.log(20 * copies) - jeffreys))

    (slope, gap), (slope_100, gap_100) = slopes_and_gap(1), slopes_and_gap(100)
    assert 0 < slope_100 < slope / 50 and slope_100 < 1e-3
    assert 0 < gap_100 < gap / 50 and gap_100 < 3e-3


def test_dual_contrastive_by_hand():
    real, fake = jnp.array([np.log(2.0), 0.0]), jnp.array([np.log(3.0), np.log(5.0)])
    # exp(fake) sums to 8, exp(-real) to 1.5
    expected = np.log([(1 + 8 / 2) * (1 + 3 * 1.5), (1 + 8 / 1) * (1 + 5 * 1.5)])
    np.testing.assert_allclose(adversarial.dual_contrastive.discriminator(real, fake), expected, rtol=1e-12)
    np.testing.assert_allclose(adversarial.dual_contrastive.generator(real, fake), -expected, rtol=1e-12)


def test_softmax_generator_is_least_where_the_critic_cannot_tell():
    real, fake = jnp.array([1.0, -1.0]), jnp.array([0.5, 2.0])
    generator = adversarial.softmax.generator
    np.testing.assert_allclose(generator(0 * real + 3, 0 * fake + 3).mean(), np.log(4), rtol=1e-12)
    assert float(generator(real, fake).mean()) > np.log(4)


@pytest.mark.parametrize("distance", [0.1, 1.0, 50.0])
def test_quadratic_potential_of_two_points_is_half_the_scaled_distance(distance):
    """Two point masses: the best margin is λ d and the game's value λ d / 2, which never saturates."""
    lam = 10.0
    loss = adversarial.quadratic_potential(lam * jnp.full(3, distance))
    margins = jnp.asarray(lam * distance * np.array([0.9, 1.0, 1.1]))
    values = loss.discriminator(margins, jnp.zeros(3))
    np.testing.assert_allclose(values[1], -lam * distance / 2, rtol=1e-12)
    assert values[0] > values[1] < values[2]
    np.testing.assert_allclose(loss.generator(margins, jnp.zeros(3)), margins, rtol=1e-12)


@pytest.mark.parametrize("margin", [0.5, 3.0])
def test_energy_based_game_is_worth_margin_times_the_overlap(margin):
    real, fake = batch_of("energy_based")
    table = jnp.asarray(-margin * (Q > P))
    value = adversarial.energy_based(margin).discriminator(table[real], table[fake]).mean()
    np.testing.assert_allclose(value, margin * (1 - games.total_variation(P, Q)), rtol=1e-12)


def test_began_balance_rests_where_the_energies_have_their_ratio():
    real = jnp.array([-2.0, -4.0])  # mean energy 3
    np.testing.assert_allclose(adversarial.began_balance(0.3, real, real / 2, gamma=0.5), 0.3, rtol=1e-12)
    # Fakes of energy 1 are too good for the ratio 1/2: 0.3 + 0.1 (1.5 - 1).
    np.testing.assert_allclose(adversarial.began_balance(0.3, real, real / 3, gamma=0.5, rate=0.1), 0.35, rtol=1e-12)
    np.testing.assert_allclose(adversarial.began_balance(0.3, real, real, gamma=0.5, rate=0.1), 0.15, rtol=1e-12)


def test_began_balance_stays_between_0_and_1():
    low, high = jnp.full(2, -1e4), jnp.zeros(2)
    assert float(adversarial.began_balance(0.5, low, high, rate=1.0)) == 1.0
    assert float(adversarial.began_balance(0.5, high, low, rate=1.0)) == 0.0


@pytest.mark.parametrize("k", [0.25, 1.0])
def test_began_weighs_the_fakes_with_its_balance(k):
    real, fake = batch_of("began")
    table = jnp.asarray(-2.0 * (k * Q > P))
    value = adversarial.began(jnp.asarray(k)).discriminator(table[real], table[fake]).mean()
    np.testing.assert_allclose(value, -2.0 * np.maximum(k * Q - P, 0).sum(), rtol=1e-12)


def test_realness_with_one_hot_anchors_is_the_logistic_game():
    loss = adversarial.realness((0.0, 1.0), (1.0, 0.0))
    rng = np.random.default_rng(3)
    real, fake = jnp.asarray(rng.normal(size=(6, 2)) * 3), jnp.asarray(rng.normal(size=(6, 2)) * 3)
    odds = [x[:, 1] - x[:, 0] for x in (real, fake)]
    np.testing.assert_allclose(
        loss.discriminator(real, fake), adversarial.minimax.discriminator(*odds), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(loss.generator(real, fake), -odds[1], rtol=1e-9, atol=1e-12)


def test_multi_hinge_reaches_the_crammer_singer_risk():
    """Two classes and "fake": each symbol's outputs solve a linear program weighted by its joint probabilities."""
    # Real counts of [symbol, class] and fake counts of [symbol], twelve examples per side.
    real_counts, fake_counts = np.array([[5, 1], [0, 4], [1, 1]]), np.array([1, 2, 9])
    solved = [
        games.crammer_singer_risk(np.array([*row, f]) / 12) for row, f in zip(real_counts, fake_counts, strict=True)
    ]
    table = jnp.asarray(np.array([scores for scores, _ in solved]))
    symbols = np.repeat([0, 0, 1, 1, 2, 2], real_counts.ravel())
    labels = np.repeat([0, 1, 0, 1, 0, 1], real_counts.ravel())
    fakes = np.repeat(np.arange(3), fake_counts)
    loss = adversarial.multi_hinge(labels, labels)
    value = loss.discriminator(table[symbols], table[fakes]).mean()
    np.testing.assert_allclose(value, sum(risk for _, risk in solved), rtol=1e-8)


def test_multi_hinge_generator_asks_for_its_own_class():
    scores = jnp.array([[2.0, 0.5, -1.0], [0.0, 0.3, 0.9]])
    loss = adversarial.multi_hinge(jnp.array([0, 0]), jnp.array([1, 1]))
    np.testing.assert_allclose(loss.generator(scores, scores), [1 - (0.5 - 2.0), 1 - (0.3 - 0.9)], rtol=1e-12)


@pytest.mark.parametrize("smooth", [0.6, 0.9, 1.0])
def test_label_smoothing_mixes_targets_by_cross_entropy(smooth):
    real, fake = jnp.array([-2.0, 0.5, 3.0]), jnp.array([0.1, -1.0, 2.0])
    belief_real, belief_fake = (1 / (1 + np.exp(-np.asarray(x))) for x in (real, fake))
    expected = -(smooth * np.log(belief_real) + (1 - smooth) * np.log(1 - belief_real)) - np.log(1 - belief_fake)
    loss = adversarial.label_smoothed(adversarial.minimax, real_label=smooth)
    np.testing.assert_allclose(loss.discriminator(real, fake), expected, rtol=1e-9)
    np.testing.assert_array_equal(loss.generator(real, fake), adversarial.minimax.generator(real, fake))


@pytest.mark.parametrize("name", adversarial.names())
def test_demand_says_whether_the_generator_looks_at_data_and_whether_all_pairs_are_compared(name):
    keys = jax.random.split(jax.random.key(0), 3)
    real, other, fake = (jax.random.normal(key, (6,)) for key in keys)
    loss = adversarial.get(name)
    looks = not np.allclose(loss.generator(real, fake), loss.generator(other, fake))
    expected = "all pairs" if "all_pairs" in name else "both sides" if looks else "samples"
    assert adversarial.demand(name) == expected


def test_demand_of_an_unknown_loss_is_an_error_with_the_nearest_name():
    with pytest.raises(ValueError, match="'hinge'"):
        adversarial.demand("hnige")
