"""Eigenvalues of the Dirac-GAN, derived on paper for every loss and penalty, and the step that follows them."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import dirac
from configs.ablations import dirac as dirac_study
from experiments import ablate
from genloss_jax import training
from genloss_jax.ablation import stability
from genloss_jax.ablation.stability import __main__ as command
from genloss_jax.data import games
from genloss_jax.losses import adversarial, penalties

DOCS = Path(__file__).resolve().parents[2] / "docs"
NUM = 64  # examples in a batch of the game

# The level b of the critic, and d = dL_D/df, g = -dL_G/df there, f the logit of a generated example; the eigenvalues
# are ±i √(d g). With s the sigmoid: f-GANs have d = g = (f*(T))'(b) = T'(b); relativistic ones d = g = -m'(f) times
# the slope of the base at margin 0, twice that where both sides have a term of their own ("average").
SLOPES = {
    "minimax": (0.0, 0.5, 0.5),  # s(0)
    "non_saturating": (0.0, 0.5, 0.5),
    "label_smoothed": (np.log(0.45 / 0.55), 0.45, 0.55),  # s(b) = 0.9 / 2
    "least_squares": (0.5, 0.5, 0.5),
    "least_squares_pearson": (0.0, 1.0, 0.0),  # the generator's target is the level itself
    "wasserstein": (0.0, 1.0, 1.0),
    "hinge": (0.0, 1.0, 1.0),
    "boundary_seeking": (0.0, 0.5, 0.0),
    "f_gan_kl": (1.0, 1.0, 1.0),
    "f_gan_reverse_kl": (0.0, 1.0, 1.0),
    "f_gan_jensen_shannon": (0.0, 0.5, 0.5),
    "f_gan_gan": (0.0, 0.5, 0.5),
    "f_gan_pearson": (0.0, 1.0, 1.0),
    "f_gan_neyman": (0.0, 1.0, 1.0),
    "f_gan_squared_hellinger": (0.0, 1.0, 1.0),
    "f_gan_jeffreys": (0.0, 2.0, 2.0),  # T' = 1 + exp(-v)
    "f_gan_total_variation": (0.0, 0.5, 0.5),
    "alpha_gan": (0.0, 0.5**1.5, 0.5**1.5),  # √s(0) (1 - s(0))
    **{f"relativistic_{kind}": (0.0, d, d) for kind, d in
       {"paired": 0.5, "average": 1.0, "centered": 0.5, "all_pairs": 0.5}.items()},
    **{f"relativistic_{kind}_{base}": (0.0, d, d) for base in ("hinge", "least_squares") for kind, d in
       {"paired": 1.0, "average": 2.0, "centered": 1.0, "all_pairs": 1.0}.items()},
    "kl_wasserstein": (0.0, 1.0, 1.0),
    "cumulant": (0.0, 1.0, 1.0),
    "softmax": (0.0, 0.5, 0.0),  # half of the weight lies on generated examples, and that is what the generator wants
    "dual_contrastive": (0.0, 2 * NUM / (NUM + 1), 2 * NUM / (NUM + 1)),
    "quadratic_potential": (0.0, 1.0, 1.0),
    "energy_based": (0.0, 1.0, 1.0),
}  # fmt: skip
ROOT_OF_PRECISION = 3e-8  # eigenvalues that meet are known no better
LOGISTIC, WASSERSTEIN = adversarial.get("non_saturating"), adversarial.get("wasserstein")


def r1(critic_fn, key, real, fake):
    return penalties.r1_penalty(critic_fn, real)


def gp_0(critic_fn, key, real, fake):
    return penalties.wgan_gp_penalty(critic_fn, key, real, fake, center=0.0)


def damped(kappa, d, g):
    """Roots of λ² + κ λ + d g."""
    root = np.sqrt(complex(kappa**2 / 4 - d * g))
    return np.sort_complex([-kappa / 2 - root, -kappa / 2 + root])


def test_slopes_are_derived_for_every_loss():
    assert set(SLOPES) == set(adversarial.names())


@pytest.mark.parametrize("name", adversarial.names())
def test_level_and_eigenvalues_of_every_loss_with_and_without_r1(name):
    level, d, g = SLOPES[name]
    loss = adversarial.get(name)
    assert stability.level(loss) == pytest.approx(level, abs=1e-9)
    free = stability.analyse(loss)
    assert free.kind == ("rotation" if g else "undecided")
    np.testing.assert_allclose(np.sort_complex(free.eigenvalues), damped(0.0, d, g), atol=ROOT_OF_PRECISION)
    with_r1 = stability.analyse(loss, r1, weight=0.3)
    assert with_r1.kind == ("damped rotation" if g else "undecided")
    np.testing.assert_allclose(np.sort_complex(with_r1.eigenvalues), damped(0.3, d, g), atol=ROOT_OF_PRECISION)


@pytest.mark.parametrize(
    ("gamma", "kind"),
    [(-0.3, "unstable"), (0.3, "damped rotation"), (1.0, "critically damped"), (3.0, "over-damped")],
)
def test_kind_turns_with_the_damping(gamma, kind):
    found = stability.analyse(LOGISTIC, r1, weight=gamma)
    assert found.kind == kind
    np.testing.assert_allclose(np.sort_complex(found.eigenvalues), damped(gamma, 0.5, 0.5), atol=1e-7)
    np.testing.assert_allclose(
        np.sort_complex(found.eigenvalues), np.sort_complex(games.dirac().eigenvalues(gamma)), atol=1e-7
    )


@pytest.mark.parametrize(("gamma", "radii"), [(0.0, (1.00499, 1.0, 0.99504)), (0.3, (0.97468, 0.96954, 0.96597))])
def test_spectral_radius_per_step_of_each_play(gamma, radii):
    found = stability.analyse(LOGISTIC, r1, weight=gamma, rate=0.2).radii
    assert list(found) == ["simultaneous", "alternating", "extragradient"]
    np.testing.assert_allclose(list(found.values()), radii, atol=6e-6)


# κ at weight 1: the curvature of the penalty at psi = 0.
KAPPA = {"r1": 1.0, "r2": 1.0, "roth": 0.5, "zero_centered": 2.0, "max_gradient": 2.0, "wgan_gp, centre 0": 2.0,
         "wgan_lp, centre 1": 0.0, "wgan_div, sixth power": 0.0}  # fmt: skip


@pytest.mark.parametrize("name", stability.PENALTIES)
def test_every_penalty_damps_by_its_curvature_or_has_a_kink(name):
    found = stability.analyse(LOGISTIC, stability.PENALTIES[name], weight=0.3)
    if name in KAPPA:
        assert found.kind == ("damped rotation" if KAPPA[name] else "rotation")
        np.testing.assert_allclose(np.sort_complex(found.eigenvalues), damped(0.3 * KAPPA[name], 0.5, 0.5), atol=1e-9)
    else:
        assert name in ("wgan_gp, centre 1", "dragan, centre 1")
        assert found == ("not differentiable", None, None)


def test_a_jump_or_kink_of_the_loss_is_said_and_not_differentiated():
    kinked = adversarial.AdversarialLoss(lambda real, fake: jnp.abs(fake) + jnp.abs(real), WASSERSTEIN.generator)
    assert stability.analyse(kinked).kind == "not differentiable"


def test_a_loss_that_holds_its_critic_nowhere_is_named():
    with pytest.raises(ValueError, match="no level of the critic between"):
        stability.level(adversarial.AdversarialLoss(lambda real, fake: -2 * real + fake, WASSERSTEIN.generator))


def test_field_has_its_closed_form_away_from_the_equilibrium():
    theta, psi, gamma = 0.7, -1.3, 0.4
    velocity = stability.field(adversarial.get("minimax"), r1, weight=gamma)(jnp.array([theta, psi]))
    doubt = 1 / (1 + np.exp(-theta * psi))
    np.testing.assert_allclose(velocity, [psi * doubt, -theta * doubt - gamma * psi], rtol=1e-6)


@pytest.mark.parametrize("play", ["simultaneous", "alternating", "extragradient"])
@pytest.mark.parametrize("gamma", [0.0, 0.3])
def test_our_own_step_has_the_radii_of_the_analysis(play, gamma):
    """The Wasserstein game is linear: each step of a path is one matrix, which the path tells in single precision."""
    points = stability.path(WASSERSTEIN, r1, weight=gamma, play=play, rate=0.2, num_steps=20).astype(np.float64)
    step = np.linalg.lstsq(points[:-1], points[1:], rcond=None)[0].T
    radius = np.abs(np.linalg.eigvals(step)).max()
    assert radius == pytest.approx(stability.analyse(WASSERSTEIN, r1, weight=gamma, rate=0.2).radii[play], abs=2e-6)


@pytest.mark.parametrize("name", ["non_saturating", "dual_contrastive"])
def test_simultaneous_steps_follow_the_field(name):
    loss = adversarial.get(name)
    points = stability.path(loss, r1, weight=0.5, play="simultaneous", rate=0.1, num_steps=5)
    velocities = jax.vmap(stability.field(loss, r1, weight=0.5))(jnp.asarray(points[:-1]))
    np.testing.assert_allclose(points[1:] - points[:-1], 0.1 * velocities, atol=1e-6)


def test_clipping_bounds_the_critic_alone():
    points = stability.path(WASSERSTEIN, clip=0.5, rate=0.2, num_steps=100)
    np.testing.assert_array_equal(points[0], [1.0, 1.0])
    assert np.abs(points[1:, 1]).max() == pytest.approx(0.5, abs=1e-6)
    assert np.abs(points[:, 0]).max() > 1.0


@pytest.mark.parametrize(("penalty", "converges"), [(penalties.wgan_gp_penalty, False), (gp_0, True)])
def test_wgan_gp_comes_to_rest_only_with_centre_zero(penalty, converges):
    last = stability.path(WASSERSTEIN, penalty, weight=0.5, rate=0.2, num_steps=500)[-50:]
    distance = np.linalg.norm(last, axis=1)
    assert distance.max() < 1e-6 if converges else distance.min() > 0.5


def test_the_config_trains_this_game_and_its_metric_is_the_squared_distance():
    config = dirac.get_config()
    setup = training.from_config(config)
    batch = jax.tree.map(lambda leaf: leaf[0], setup.stream(0).read(1))
    state, step = setup.state(0), jax.jit(setup.step)
    for _ in range(10):
        state, _ = step(state, batch)
    theta, psi = stability.path(LOGISTIC, rate=0.2, num_steps=10)[-1]
    assert float(state.params["generator"]["theta"][0]) == pytest.approx(theta, abs=1e-6)
    assert float(state.params["discriminator"]["psi"][0]) == pytest.approx(psi, abs=1e-6)
    evaluator = training.evaluator(setup, config)
    samples = np.asarray(setup.objective.sample(state.params, state.aux, jax.random.key(0), evaluator.num_samples))
    assert evaluator.floor["sliced_wasserstein_squared_distance"] == 0.0
    assert evaluator.evaluate(samples)["sliced_wasserstein_squared_distance"] == pytest.approx(theta**2, rel=1e-5)


@pytest.mark.slow
def test_picture_is_drawn():
    drawn = stability.picture()
    assert drawn.shape == (840, 1200, 3) and np.unique(drawn.reshape(-1, 3), axis=0).shape[0] > 100


def test_page_is_up_to_date(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "picture", lambda: np.zeros((8, 8, 3), np.uint8))
    assert command.main(["--out", str(tmp_path)]) == 0
    written = (tmp_path / "stability.md").read_text(encoding="utf-8")
    remedy = "docs/stability.md is stale: python -m genloss_jax.ablation.stability --out=docs"
    assert written == (DOCS / "stability.md").read_text(encoding="utf-8"), remedy
    assert (tmp_path / "stability.png").exists() and (DOCS / "stability.png").exists()


def test_the_study_of_the_dirac_gan_trains_these_paths(tmp_path):
    settings = dirac_study.get_config().copy_and_resolve_references().unlock()
    settings.axes.loss = ("minimax", "hinge")
    del settings.axes.penalty["wgan_gp"], settings.axes.penalty["zero_centered"]
    table = ablate.run(settings.lock(), tmp_path, chunk=2, threads=1).table
    table = table[table.metric == "sliced_wasserstein_squared_distance"]
    for (loss, penalty), rows in table.groupby(["loss", "penalty"]):
        weight = {"none": 0.0, "r1": 0.3, "r1, critical": 1.0}[penalty]
        points = stability.path(adversarial.get(loss), r1, weight=weight, rate=0.2, num_steps=500)
        np.testing.assert_allclose(rows.value, points[rows.step.to_numpy(), 0] ** 2, rtol=1e-3, atol=1e-9)
