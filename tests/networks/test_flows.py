"""Flows: the log-determinant of the automatic Jacobian, the way back, and what each layer promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.networks import NetworkConfig, flows, from_function, from_linen

NETWORK = NetworkConfig(name="mlp", width=8, depth=2, activation="tanh")
BATCH, SHAPE = 4, (2, 2)


def points(*shape, seed=0, scale=1.5):
    return jnp.asarray(scale * np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def shaken(params, dtype=jnp.float32):
    """Move all parameters away from their start, where most layers are the identity."""
    rng = np.random.default_rng(1)
    # In NumPy: an operation of JAX would be compiled once per shape.
    return jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf) + 0.5 * rng.standard_normal(leaf.shape), dtype), params
    )


def glow(shape=(4, 4, 1), network="conv", **options):
    options = {"layer": "glow", "transformer": "affine", "num_layers": 1, **options}
    return flows.flow(flows.FlowConfig(**options), NetworkConfig(name=network, width=4), shape=shape)


def stack(**options):
    # Three couplings: the third comes after a permutation. Two autoregressive layers: the second sees a reversed order.
    num_layers = 2 if options.get("layer") == "autoregressive" else 3
    return flows.flow(flows.FlowConfig(**{"num_layers": num_layers, "num_bins": 4, **options}), NETWORK, shape=SHAPE)


FLOWS = {
    f"{layer} {transformer}": stack(layer=layer, transformer=transformer)
    for layer in ("coupling", "autoregressive")
    for transformer in ("affine", "spline")
} | {
    "activation norm of images": flows.activation_norm(),
    "glow": glow(),
    "permutation": flows.chain([flows.reshape(SHAPE, (4,)), flows.permutation((2, 0, 3, 1)), flows.reverse()]),
}  # fmt: skip


@pytest.fixture(scope="module", params=list(FLOWS))
def case(request):
    """A flow away from its start, in double precision."""
    flow = FLOWS[request.param]
    with jax.enable_x64(True):
        x = points(BATCH, *((4, 4, 1) if request.param == "glow" else SHAPE)).astype(jnp.float64)
        params, state = jax.jit(flow.init)(jax.random.key(0), x)
        yield flow, shaken(params, jnp.float64), state, x


def test_log_det_is_that_of_the_automatic_jacobian(case):
    flow, params, state, x = case

    def single(example):
        return flow.forward(params, state, example[None])[0].reshape(-1)

    _, log_det, _ = jax.jit(flow.forward)(params, state, x)
    jacobians = jax.jit(jax.vmap(jax.jacfwd(single)))(x).reshape(BATCH, x[0].size, x[0].size)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobians)[1], rtol=1e-7)


def test_inverse_leads_back_and_forth(case):
    flow, params, state, x = case
    forward, inverse = jax.jit(flow.forward), jax.jit(flow.inverse)
    z, _, _ = forward(params, state, x)
    np.testing.assert_allclose(inverse(params, state, z), x, rtol=1e-7)
    z = points(*z.shape, seed=2).astype(jnp.float64)
    np.testing.assert_allclose(forward(params, state, inverse(params, state, z))[0], z, rtol=1e-7)


@pytest.mark.parametrize(("layer", "transformer"), [("coupling", "spline"), ("autoregressive", "affine")])
def test_a_new_flow_only_normalises(layer, transformer):
    flow = stack(layer=layer, transformer=transformer, num_layers=2, bound=8.0)
    x = 3.0 + 2.0 * points(64, *SHAPE)
    params, state = jax.jit(flow.init)(jax.random.key(0), x)
    z, log_det, _ = jax.jit(flow.forward)(params, state, x)
    np.testing.assert_allclose(jnp.mean(z, axis=0), np.zeros(4), atol=1e-5)
    np.testing.assert_allclose(jnp.std(z, axis=0), np.ones(4), rtol=1e-5)
    expected = -np.sum(np.log(np.std(np.asarray(x).reshape(64, 4), axis=0)))
    np.testing.assert_allclose(log_det, np.full(64, expected), rtol=1e-4)


def test_activation_norm_leaves_the_scale_of_a_constant_alone():
    norm = flows.activation_norm()
    x = jnp.stack([jnp.full(8, 5.0), jnp.arange(8.0)], axis=-1)
    params, state = norm.init(jax.random.key(0), x)
    assert params["log_scale"][0] == 0.0
    np.testing.assert_array_equal(norm.forward(params, state, x)[0][:, 0], np.zeros(8))


@pytest.mark.parametrize("flip", [False, True])
def test_coupling_keeps_one_part_and_transforms_the_other(flip):
    shift = from_function(lambda key, x: jnp.ones(()), lambda p, x: jnp.full((x.shape[0], 6 - 2 * x.shape[1]), p))
    layer = flows.coupling(shift, flows.affine(), flip=flip)
    x = points(4, 3)
    params, state = layer.init(jax.random.key(0), x)
    z, _, _ = layer.forward(params, state, x)
    kept = np.asarray(z == x).all(axis=0)
    assert kept.tolist() == ([False, True, True] if flip else [True, False, False])


def test_squeeze_puts_blocks_into_channels():
    x = jnp.arange(2 * 4 * 4 * 3.0).reshape(2, 4, 4, 3)
    z, log_det, _ = flows.squeeze().forward({}, {}, x)
    assert z.shape == (2, 2, 2, 12)
    np.testing.assert_array_equal(z[1, 0, 1], x[1, 0:2, 2:4].reshape(-1))
    np.testing.assert_array_equal(log_det, np.zeros(2))


def test_invertible_linear_starts_as_a_rotation():
    layer = flows.invertible_linear()
    x = points(3, 2, 2, 5)
    params, state = jax.jit(layer.init)(jax.random.key(0), x)
    z, log_det, _ = layer.forward(params, state, x)
    np.testing.assert_allclose(np.linalg.norm(z, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-5)
    np.testing.assert_allclose(log_det, np.zeros(3), atol=1e-5)
    assert np.abs(z - x).max() > 0.1


@pytest.mark.parametrize("num", [1, 2, 5])
def test_made_looks_at_earlier_numbers_only_and_at_all_of_them(num):
    network = from_linen(flows.MADE((16, 16), 3, "tanh"))
    x = points(1, num)
    params, state = jax.jit(network.init)(jax.random.key(0), x)
    params = shaken(params)
    jacobian = jax.jit(jax.jacfwd(lambda x: network.apply(params, state, x[None])[0][0]))(x[0])
    reached = np.abs(np.asarray(jacobian)).max(axis=1) > 0
    np.testing.assert_array_equal(reached, np.tril(np.ones((num, num), bool), k=-1))


class TestSpline:
    TRANSFORMER = flows.rational_quadratic_spline(5, 2.0)
    NUM = 20_001

    def forward(self, params, x):
        """Evaluate at up to NUM points, always in one shape: one compilation for all tests."""
        x = np.asarray(x, np.float32)
        params = np.broadcast_to(np.asarray(params, np.float32), (len(x), self.TRANSFORMER.num_params))
        rest = self.NUM - len(x)
        y, log_slope = _spline(np.pad(params, ((0, rest), (0, 0))), np.pad(x, (0, rest)))
        return np.asarray(y)[: len(x)], np.asarray(log_slope)[: len(x)]

    def params(self, num, scale=1.0):
        return points(num, self.TRANSFORMER.num_params, seed=3, scale=scale)

    def test_zero_parameters_are_the_identity(self):
        x = np.linspace(-3.0, 3.0, 25)
        y, log_slope = self.forward(np.zeros((25, self.TRANSFORMER.num_params)), x)
        np.testing.assert_allclose(y, x, atol=1e-6)
        np.testing.assert_allclose(log_slope, np.zeros(25), atol=2e-6)

    def test_tails_are_the_identity_and_join_without_a_jump_in_value_or_slope(self):
        x = np.array([-9.0, -2.0, -2.0 + 1e-5, 2.0 - 1e-5, 2.0, 9.0])
        y, log_slope = self.forward(self.params(1), x)
        np.testing.assert_allclose(y, x, atol=1e-4)
        np.testing.assert_allclose(log_slope, np.zeros(6), atol=2e-2)

    def test_slopes_are_continuous_and_integrate_to_the_length_of_the_interval(self):
        x = np.linspace(-2.0, 2.0, self.NUM)
        y, log_slope = self.forward(self.params(1), x)
        assert np.all(np.diff(y) > 0)
        # Slopes reach 13 within a bin of width 0.07: a jump at a knot would be of the size of the slopes.
        assert np.max(np.abs(np.diff(np.exp(log_slope)))) < 0.1
        assert np.trapezoid(np.exp(log_slope), x) == pytest.approx(4.0, rel=1e-4)

    def test_hand_computed_bin(self):
        # Two equal bins of width and height 1, slope 3 at the knot in the middle: at ξ = ½ of the first bin s = 1,
        # d0 = 1, d1 = 3, so y = -1 + (1/4 + 1/4) / (1 + 2/4) and dy/dx = (3/4 + 1/2 + 1/4) / (3/2)² = 2/3.
        transformer = flows.rational_quadratic_spline(2, 1.0, min_slope=1e-6)
        raw = np.log(np.expm1(3.0)) - np.log(np.expm1(1.0))
        y, log_slope = jax.jit(transformer.forward)(jnp.array([[0.0, 0.0, 0.0, 0.0, raw]]), jnp.array([-0.5]))
        np.testing.assert_allclose(y, [-2 / 3], rtol=1e-4)
        np.testing.assert_allclose(np.exp(log_slope), [2 / 3], rtol=1e-4)

    def test_extreme_parameters_keep_values_gradients_and_the_way_back_finite(self):
        def total(params, x):
            y, log_slope = self.TRANSFORMER.forward(params, x)
            return jnp.sum(y) + jnp.sum(log_slope), self.TRANSFORMER.inverse(params, y)

        x = points(64, seed=4)
        grads, back = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(self.params(64, scale=30.0), x)
        assert all(np.all(np.isfinite(grad)) for grad in grads)
        assert np.all(np.isfinite(back))


_spline = jax.jit(TestSpline.TRANSFORMER.forward)


def test_affine_scale_is_bounded():
    transformer = flows.affine(2.0)
    y, log_slope = transformer.forward(jnp.array([[1.0, 100.0], [1.0, 0.1]]), jnp.array([1.0, 1.0]))
    assert log_slope[0] == pytest.approx(2.0)
    assert log_slope[1] == pytest.approx(2.0 * np.tanh(0.05))
    np.testing.assert_allclose(y, np.exp(log_slope) + 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: flows.chain([]), "layers must name at least one flow"),
        (lambda: flows.permutation((0, 2)), r"order must hold each of 0, ..., 1 once, got \[0, 2\]"),
        (lambda: flows.reshape((2, 3), (5,)), r"to must hold as many numbers as shape \(2, 3\), got \(5,\)"),
        (lambda: flows.affine(0.0), "max_log_scale must be positive, got 0.0"),
        (lambda: flows.rational_quadratic_spline(1), "num_bins must be at least 2, got 1"),
        (lambda: flows.rational_quadratic_spline(4, -1.0), "bound must be positive, got -1.0"),
        (lambda: flows.rational_quadratic_spline(4, min_bin=0.3), "min_bin must be above 0 and below 1 / num_bins"),
        (lambda: flows.rational_quadratic_spline(4, min_slope=1.0), "min_slope must be above 0 and below 1"),
        (lambda: stack(layer="couplin"), "layer of a flow 'couplin'; did you mean 'coupling'"),
        (lambda: stack(transformer="afine"), "did you mean 'affine'"),
        (lambda: stack(num_layers=0), "num_layers must be at least 1, got 0"),
        (lambda: flows.flow(flows.FlowConfig(), NETWORK, shape=(1,)), r"at least 2 numbers for a flow, got \(1,\)"),
        (lambda: glow(layer="coupling", network="dcgan"), "unknown network of the flow 'coupling' 'dcgan'"),
        (lambda: glow(network="mlp"), "unknown network of the flow 'glow' 'mlp'"),
        (lambda: glow((6, 4, 1)), r"shape for a glow must be \(H, W, C\) .* got \(6, 4, 1\)"),
        (lambda: flows.squeeze().forward({}, {}, points(1, 3, 2, 1)), r"even H and W, got \(1, 3, 2, 1\)"),
    ],
)  # fmt: skip
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_shapes_that_do_not_fit_are_named_while_tracing():
    wrong = from_function(lambda key, x: {}, lambda params, x: jnp.zeros((x.shape[0], 5)))
    with pytest.raises(ValueError, match=r"conditioner must give outputs of shape \(4, 2\), got \(4, 5\)"):
        flows.coupling(wrong, flows.affine()).forward({}, {}, points(4, 2))
    with pytest.raises(ValueError, match=r"with C at least 2, got \(4, 1\)"):
        flows.coupling(wrong, flows.affine()).forward({}, {}, points(4, 1))
    with pytest.raises(ValueError, match=r"network must give outputs of shape \(4, 2, 2\), got \(4, 5\)"):
        flows.autoregressive(wrong, flows.affine()).forward({}, {}, points(4, 2))
    with pytest.raises(ValueError, match=r"autoregressive layer must have shape \[B, D\], got \(4, 2, 2\)"):
        flows.autoregressive(wrong, flows.affine()).forward({}, {}, points(4, 2, 2))
    with pytest.raises(ValueError, match="a permutation of 2 numbers, but the last axis has 3"):
        flows.permutation((1, 0)).forward({}, {}, points(4, 3))
