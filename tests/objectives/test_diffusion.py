"""The diffusion objective on Gaussian data, where the best network is linear and its every number is known."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genloss_jax import networks
from genloss_jax.losses import diffusion as losses
from genloss_jax.networks.network import Network, from_function
from genloss_jax.objectives import ddpm, diffusion, edm, flow_matching, vdm
from genloss_jax.training import Schedule, make_step, sampling_params

MEAN, STD = 0.7, 0.5
HYPER = {"step": 0, "log_sigma_mean": -1.2, "log_sigma_std": 1.2, "min_snr_gamma": 5.0}
X = jnp.array([[0.7, 0.7], [1.5, 0.2], [-0.4, 1.1]])


def data(num, dim=2, seed=5):
    return MEAN + STD * jax.random.normal(jax.random.key(seed), (num, dim))


def oracle(of) -> Network:
    """What a network says that knows the data to be N(MEAN, STD²), whatever its parameters."""
    return from_function(
        lambda key, x, level: {"unused": jnp.zeros(())}, lambda params, x, level: of(x, level[:, None])
    )


def expected_data(x_t, alpha, sigma):
    return MEAN + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * (x_t - alpha * MEAN)


def flow_velocity(x_t, t):
    best = expected_data(x_t, t, 1 - t)
    return best - (x_t - t * best) / (1 - t)


def trigonometric_velocity(x_t, t):
    alpha, sigma = jnp.sin(0.5 * jnp.pi * t), jnp.cos(0.5 * jnp.pi * t)
    best = expected_data(x_t, alpha, sigma)
    return 0.5 * jnp.pi * (sigma * best - alpha * (x_t - alpha * best) / sigma)


def diffusion_prediction(name):
    def of(x_t, level):
        alpha, sigma = losses.alpha_sigma(-8.0 * level)
        best = expected_data(x_t, alpha, sigma)
        noise = (x_t - alpha * best) / sigma
        return {"noise": noise, "data": best, "velocity": alpha * noise - sigma * best}[name]

    return of


def edm_output(scaled, level):
    # F of D = c_skip x + c_out F, with the true scale of the data about their mean in the place of sigma_data
    sigma = jnp.exp(4.0 * level)
    c_skip, c_out, c_in, _ = losses.edm_preconditioning(sigma, sigma_data=STD)
    x_t = scaled / c_in
    return (expected_data(x_t, 1.0, sigma) - c_skip * x_t) / c_out


CASES = {
    "linear": (flow_matching(), flow_velocity),
    "trigonometric": (flow_matching("trigonometric"), trigonometric_velocity),
    "noise": (ddpm("noise"), diffusion_prediction("noise")),
    "data": (ddpm("data"), diffusion_prediction("data")),
    "velocity": (ddpm("velocity"), diffusion_prediction("velocity")),
    "edm": (edm(STD), edm_output),
    "vdm": (vdm(), diffusion_prediction("noise")),
}


def build(name, dim=2, **options):
    process, of = CASES[name]
    # The oracle of a flow is 0 / 0 at t = 1, where a network is smooth.
    safe = (lambda x, t: of(x, jnp.minimum(t, 1 - 1e-5))) if name in ("linear", "trigonometric") else of
    objective = diffusion(oracle(safe), process, shape=(dim,), **options)
    return objective, *objective.init(jax.random.key(0), {"x": jnp.zeros((4, dim))})


def log_normal(x, mean, std):
    return np.sum(-0.5 * ((np.asarray(x) - mean) / std) ** 2 - np.log(std * math.sqrt(2 * math.pi)), axis=-1)


def exact_log_prob(x):
    return log_normal(x, MEAN, STD)


def mean_and_std_of_samples(process):
    """Follow N(0, σ(0)²) along the ODE, which maps N(α m, V) at t = 0 to N(α m, V) at t = 1, V = α² s² + σ²."""
    (first_mean, first_std), (last_mean, last_std) = (
        (float(alpha) * MEAN, math.hypot(float(alpha) * STD, float(sigma)))
        for alpha, sigma in map(process.coefficients, (jnp.array(0.0), jnp.array(1.0)))
    )
    stretch = last_std / first_std
    return last_mean - stretch * first_mean, stretch * float(process.coefficients(jnp.array(0.0))[1])


@pytest.mark.parametrize("name", sorted(set(CASES) - {"vdm"}))
def test_likelihood_of_the_best_network_is_that_of_the_data(name):
    objective, params, aux = build(name, num_likelihood_steps=100)
    assert objective.log_prob_kind == "exact"
    got = objective.log_prob(params, aux, {"x": X}, jax.random.key(0))
    np.testing.assert_allclose(got, log_normal(X, *mean_and_std_of_samples(CASES[name][0])), atol=2e-3)
    # The ends of a process are not quite noise and data: DDPM's first level keeps 0.0066 of the mean.
    np.testing.assert_allclose(got, exact_log_prob(X), atol=2e-2)


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        ("linear", "heun"),
        ("linear", "rk4"),
        ("linear", "ancestral"),
        ("trigonometric", "rk4"),
        ("noise", "ancestral"),
        ("velocity", "heun"),
        ("edm", "heun"),
        ("edm", "ancestral"),
        ("vdm", "ancestral"),
    ],
)
def test_samples_of_the_best_network_have_the_mean_and_spread_of_the_data(name, sampler):
    num_steps = 400 if sampler == "ancestral" else 100
    objective, params, aux = build(name, sampler=sampler, num_steps=num_steps)
    samples = objective.sample(params, aux, jax.random.key(1), 20_000)
    assert samples.shape == (20_000, 2)
    # Four standard errors, and one per cent of the solver.
    np.testing.assert_allclose(samples.mean(axis=0), MEAN, atol=0.02)
    np.testing.assert_allclose(samples.std(axis=0), STD, rtol=0.03)


def test_flow_takes_noise_to_the_mean_plus_the_scaled_noise():
    # The map of a straight flow between Gaussians is m + s x_0 of one and the same noise.
    objective, params, aux = build("linear", num_steps=100)
    samples = objective.sample(params, aux, jax.random.key(1), 64)
    noise_key, _ = jax.random.split(jax.random.key(1))
    noise = jax.random.normal(noise_key, (128,)).reshape(64, 2)
    np.testing.assert_allclose(samples, MEAN + STD * noise, atol=2e-3)


def loss_of(name, num=20_000, dim=2, key=0):
    objective, params, aux = build(name, dim)
    value, (metrics, aux) = objective.losses["model"](params, aux, {"x": data(num, dim)}, jax.random.key(key), HYPER)
    assert metrics == {} and aux == {}
    return float(value)


def test_flow_matching_loss_of_the_best_network_is_pi_s_half_per_dimension():
    assert loss_of("linear") == pytest.approx(2 * math.pi * STD / 2, rel=0.02)


def test_ddpm_loss_of_the_best_network_is_the_irreducible_one_at_ddpms_levels():
    # ε costs α² s² / V at each level; the mean is over DDPM's uniform time, by quadrature.
    t = 1e-3 + (1 - 1e-3) * (np.arange(10_000) + 0.5) / 10_000
    alpha_squared = np.exp(-(0.1 * t + 0.5 * 19.9 * t**2))
    irreducible = alpha_squared * STD**2 / (alpha_squared * STD**2 + 1 - alpha_squared)
    assert loss_of("noise") == pytest.approx(2 * irreducible.mean(), rel=0.02)


def test_edm_loss_of_the_best_network_is_one_per_dimension():
    assert loss_of("edm") == pytest.approx(2.0, rel=0.02)


def test_vdm_bound_of_the_best_network_is_the_entropy_of_the_data():
    objective, params, aux = build("vdm")
    assert objective.log_prob_kind == "lower bound"
    x = data(4_000)
    got = objective.log_prob(params, aux, {"x": x}, jax.random.key(0))
    # Less what the noise at the far end misses of the data: KL(N(α m, α² s² + σ²) || N(0, 1)), α² = sigmoid(-5).
    alpha_squared = float(jax.nn.sigmoid(-5.0))
    variance = alpha_squared * STD**2 + 1 - alpha_squared
    missed = 0.5 * (variance + alpha_squared * MEAN**2 - 1 - math.log(variance))
    entropy = 0.5 * math.log(2 * math.pi * math.e * STD**2)
    error = float(np.std(got)) / math.sqrt(len(x))
    assert float(got.mean()) == pytest.approx(-2 * (entropy + missed), abs=4 * error)


def test_vdm_bound_of_the_best_network_on_levels_is_their_entropy():
    # x = ±1 with equal probability: E[x | z] = tanh(α z / σ²).
    def noise(z, level):
        alpha, sigma = losses.alpha_sigma(-8.0 * level)
        return (z - alpha * jnp.tanh(alpha * z / sigma**2)) / sigma

    objective = diffusion(oracle(noise), vdm(jnp.array([-1.0, 1.0])), shape=(1,))
    x = jnp.tile(jnp.array([[-1.0], [1.0]]), (2_000, 1))
    params, aux = objective.init(jax.random.key(0), {"x": x})
    got = objective.log_prob(params, aux, {"x": x}, jax.random.key(0))
    error = float(np.std(got)) / math.sqrt(len(x))
    assert error < 0.01
    assert float(got.mean()) == pytest.approx(-math.log(2), abs=4 * error + 1e-3)


def test_min_snr_weight_is_traced_and_lowers_the_loss_on_noise():
    objective = diffusion(oracle(diffusion_prediction("noise")), ddpm("noise", min_snr=True), shape=(2,))
    params, aux = objective.init(jax.random.key(0), {"x": X})

    def value(gamma):
        return objective.losses["model"](
            params, aux, {"x": data(512)}, jax.random.key(0), HYPER | {"min_snr_gamma": gamma}
        )[0]

    values = jax.vmap(value)(jnp.array([0.1, 5.0, 1e6]))
    assert values[0] < values[1] < values[2]
    plain, _ = build("noise")[0].losses["model"](params, aux, {"x": data(512)}, jax.random.key(0), HYPER)
    assert float(values[2]) == pytest.approx(float(plain), rel=1e-5)


def test_optimal_transport_leaves_less_to_pay_than_independent_pairs():
    # With x_1 = m + s x_0 the paths do not cross, and the field of that map pays nothing; batches come near it.
    def along(x, t):
        return MEAN + (STD - 1) * (x - t * MEAN) / (1 - t + t * STD)

    def value(coupling):
        objective = diffusion(oracle(along), flow_matching(coupling=coupling), shape=(1,))
        params, aux = objective.init(jax.random.key(0), {"x": data(64, 1)})
        return float(objective.losses["model"](params, aux, {"x": data(256, 1)}, jax.random.key(0), HYPER)[0])

    assert value("optimal_transport") < 0.05 * value("independent")


def test_likelihood_above_eight_dimensions_is_an_estimate_with_the_right_mean():
    # Of an isotropic Gaussian the direction of the probe does not matter: the estimate is exact.
    objective, params, aux = build("edm", dim=9, num_likelihood_steps=100)
    assert objective.log_prob_kind == "estimate"
    x = data(3, 9)
    got = objective.log_prob(params, aux, {"x": x}, jax.random.key(0))
    np.testing.assert_allclose(got, log_normal(x, *mean_and_std_of_samples(CASES["edm"][0])), atol=5e-3)


@pytest.mark.parametrize(
    "process",
    [
        pytest.param(flow_matching(), id="flow_matching"),
        pytest.param(ddpm(), id="ddpm", marks=pytest.mark.slow),
        pytest.param(edm(1.0, sigma_min=0.01, sigma_max=10.0), id="edm", marks=pytest.mark.slow),
    ],
)
def test_short_training_comes_near_the_entropy_and_the_density_integrates_to_one(process):
    network = networks.denoiser(networks.NetworkConfig(width=32, depth=2), shape=(1,))
    objective = diffusion(network, process, shape=(1,), num_likelihood_steps=30)

    def draw(key):
        # Two modes at ±1, of standard deviation 0.3: between them no linear network is right.
        mode_key, noise_key = jax.random.split(key)
        signs = jax.random.rademacher(mode_key, (256, 1), jnp.float32)
        return {"x": signs + 0.3 * jax.random.normal(noise_key, (256, 1))}

    init, step = make_step(objective, {"model": lambda hyper: optax.adam(5e-3)}, Schedule(averaged=("model",)))
    hyper = {"ema_decay": 0.99, **process.hyper}
    state = init(jax.random.key(0), draw(jax.random.key(1)), hyper)
    keys = jax.random.split(jax.random.key(2), 1500)
    state, _ = jax.jit(lambda state, keys: jax.lax.scan(lambda s, k: step(s, draw(k)), state, keys))(state, keys)

    grid = jnp.linspace(-4.0, 4.0, 801)[:, None]
    log_q = np.asarray(jax.jit(objective.log_prob)(sampling_params(state), state.aux, {"x": grid}, jax.random.key(0)))
    q = np.exp(log_q)
    p = np.mean([np.exp(-0.5 * ((np.asarray(grid[:, 0]) - m) / 0.3) ** 2) for m in (-1, 1)], axis=0)
    p /= 0.3 * math.sqrt(2 * math.pi)
    assert q.sum() * 0.01 == pytest.approx(1.0, abs=5e-3)
    divergence = np.sum(p * (np.log(np.maximum(p, 1e-30)) - log_q)) * 0.01
    assert -1e-3 < divergence < 0.03


class TestErrors:
    def test_ancestral_sampling_of_coupled_noise(self):
        with pytest.raises(ValueError, match="'ancestral' needs noise that is independent of the data"):
            diffusion(oracle(flow_velocity), flow_matching(coupling="optimal_transport"), shape=(2,),
                      sampler="ancestral")  # fmt: skip

    def test_misspelt_names(self):
        with pytest.raises(ValueError, match="unknown sampler 'hune'; did you mean 'heun'"):
            diffusion(oracle(flow_velocity), flow_matching(), shape=(2,), sampler="hune")
        with pytest.raises(ValueError, match="unknown path 'liner'; did you mean 'linear'"):
            flow_matching("liner")
        with pytest.raises(ValueError, match="unknown prediction 'nose'; did you mean 'noise'"):
            ddpm("nose")

    def test_numbers_out_of_range(self):
        with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
            diffusion(oracle(flow_velocity), flow_matching(), shape=(2,), num_steps=0)
        with pytest.raises(ValueError, match=r"sigma_min must be between 0 and sigma_max=0\.1, got 1\.0"):
            edm(0.5, sigma_min=1.0, sigma_max=0.1)
        with pytest.raises(ValueError, match=r"sigma_data must be positive, got 0\.0"):
            edm(0.0)

    def test_shape_mismatch_names_both(self):
        objective = diffusion(oracle(flow_velocity), flow_matching(), shape=(3,))
        with pytest.raises(ValueError, match=r"data's shape \(2,\) and shape=\(3,\) to itself; got \(2,\)"):
            objective.init(jax.random.key(0), {"x": X})

    def test_network_with_a_state_is_refused(self):
        counting = Network(lambda key, x, level: ({}, {"count": jnp.zeros(())}), lambda p, s, x, level, **kw: (x, s))
        objective = diffusion(counting, flow_matching(), shape=(2,))
        with pytest.raises(ValueError, match=r"network must have no state of its own.*\['count'\]"):
            objective.init(jax.random.key(0), {"x": X})

    def test_missing_hyper(self):
        objective, params, aux = build("edm")
        with pytest.raises(ValueError, match="no 'log_sigma_mean'"):
            objective.losses["model"](params, aux, {"x": X}, jax.random.key(0), {})
