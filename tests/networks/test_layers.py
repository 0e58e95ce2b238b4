import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax import networks
from genloss_jax.networks import layers
from genloss_jax.networks.normalization import MinibatchStddev, Normalize


def _images(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


class _Recorder(nn.Module):
    """Return the kernel that spectral normalisation makes."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, *, train: bool = False):
        kernel = self.param("kernel", nn.initializers.normal(3.0), self.shape)
        return layers.spectrally_normalized(self, kernel, train)


@pytest.mark.parametrize("shape", [(20, 7), (5, 30), (3, 3, 4, 6)])
def test_spectral_norm_converges_to_largest_singular_value_one(shape):
    network = networks.from_linen(_Recorder(shape))
    params, state = network.init(jax.random.key(0))
    raw = params["kernel"]
    step = jax.jit(lambda state: network.apply(params, state, train=True))
    for _ in range(300):
        kernel, state = step(state)
    singular = np.linalg.svd(np.asarray(kernel).reshape(-1, shape[-1]), compute_uv=False)
    np.testing.assert_allclose(singular[0], 1.0, rtol=1e-4)
    # Only divided by a number, and the parameter itself stays raw.
    largest = np.linalg.svd(np.asarray(raw).reshape(-1, shape[-1]), compute_uv=False)[0]
    np.testing.assert_allclose(kernel, raw / largest, rtol=1e-3, atol=1e-5)
    # Evaluation uses the converged vector and leaves it alone.
    evaluated, same = network.apply(params, state, train=False)
    np.testing.assert_allclose(evaluated, kernel, rtol=1e-4, atol=1e-6)
    assert same is state


def test_spectral_norm_gradient_is_that_of_w_over_its_largest_singular_value():
    network = networks.from_linen(_Recorder((6, 4)))
    params, state = network.init(jax.random.key(0))
    for _ in range(300):
        _, state = network.apply(params, state, train=True)
    weights = _images((6, 4))

    ours = jax.grad(lambda p: jnp.sum(weights * network.apply(p, state, train=True)[0]))(params)["kernel"]
    raw = np.float64(params["kernel"])

    def exact(kernel):
        return np.sum(np.float64(weights) * kernel / np.linalg.svd(kernel, compute_uv=False)[0])

    for index in [(0, 0), (2, 3), (5, 1)]:
        bump = np.zeros((6, 4))
        bump[index] = 1e-5
        np.testing.assert_allclose(ours[index], (exact(raw + bump) - exact(raw - bump)) / 2e-5, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("transposed", [False, True])
def test_spectrally_normalized_convolution_is_the_same_in_both_implementations(transposed):
    images = _images((2, 8, 8, 3))
    outputs = []
    for implementation in ("native", "patches"):
        module = layers.Conv(4, 4, 2, transposed=transposed, spectral_norm=True, implementation=implementation)
        network = networks.from_linen(module)
        params, state = network.init(jax.random.key(0), images)
        out, state = network.apply(params, state, images, train=True)
        outputs.append((out, state["spectral"]["u"]))
    for native, patches in zip(*outputs, strict=True):
        np.testing.assert_allclose(patches, native, rtol=1e-5, atol=1e-5)


def test_minibatch_stddev_equals_a_loop_over_groups():
    images = _images((8, 2, 3, 5))
    network = networks.from_linen(MinibatchStddev(group_size=4))
    params, state = network.init(jax.random.key(0), images)
    out, new_state = network.apply(params, state, images, train=True)
    x = np.float64(images)
    expected = []
    for example in range(8):
        # Two groups of four: even examples are one, odd examples the other.
        members = x[example % 2 :: 2]
        deviations = [members[:, h, w, c].std() for h in range(2) for w in range(3) for c in range(5)]
        expected.append(np.mean(deviations))
    assert out.shape == (8, 2, 3, 6)
    np.testing.assert_array_equal(out[..., :5], images)
    np.testing.assert_allclose(out[..., 5], np.broadcast_to(np.reshape(expected, (8, 1, 1)), (8, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(new_state["batch_stats"]["stddev"], 0.1 * np.mean(expected), rtol=1e-5)


def test_minibatch_stddev_is_zero_on_a_collapsed_batch_and_its_gradient_finite():
    images = jnp.ones((4, 3))
    network = networks.from_linen(MinibatchStddev())
    params, state = network.init(jax.random.key(0), images)

    def last(images):
        return network.apply(params, state, images, train=True)[0][:, -1]

    np.testing.assert_allclose(last(images), 1e-4, rtol=1e-5)
    assert np.isfinite(jax.grad(lambda x: last(x).sum())(images)).all()


def test_minibatch_stddev_takes_the_largest_group_that_divides_the_batch():
    images = _images((6, 4))
    network = networks.from_linen(MinibatchStddev(group_size=4))
    params, state = network.init(jax.random.key(0), images)
    out, _ = network.apply(params, state, images, train=True)
    expected = np.asarray(images).reshape(3, 2, 4).std(0).mean(-1)
    np.testing.assert_allclose(out[:, -1], np.tile(expected, 3), rtol=1e-5)


def test_conditional_batch_norm_gives_each_class_its_own_scale_and_bias():
    x = _images((12, 2, 2, 3))
    labels = jnp.arange(12) % 2
    network = networks.from_linen(Normalize("batch", num_classes=2))
    params, state = network.init(jax.random.key(0), x, labels)
    params = {**params, "scale": jnp.array([[1.0] * 3, [2.0] * 3]), "bias": jnp.array([[0.0] * 3, [5.0] * 3])}
    out, state = network.apply(params, state, x, labels, train=True)
    normalized = (np.asarray(x) - np.asarray(x).mean((0, 1, 2))) / np.sqrt(np.asarray(x).var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(out[::2], normalized[::2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out[1::2], 2 * normalized[1::2] + 5, rtol=1e-4, atol=1e-5)
    (stats,) = state["batch_stats"].values()
    np.testing.assert_allclose(stats["mean"], 0.1 * np.asarray(x).mean((0, 1, 2)), rtol=1e-4, atol=1e-6)


def test_group_norm_normalises_each_example_by_itself():
    x = _images((3, 4, 4, 16)) * 7 + 2
    network = networks.from_linen(Normalize("group"))
    params, state = network.init(jax.random.key(0), x)
    out, _ = network.apply(params, state, x, train=True)
    groups = np.asarray(out).reshape(3, 16, 8, 2)
    np.testing.assert_allclose(groups.mean((1, 3)), 0.0, atol=1e-5)
    np.testing.assert_allclose(groups.std((1, 3)), 1.0, rtol=1e-4)
    assert state == {}


def test_resampling_repeats_and_averages():
    x = jnp.arange(4.0).reshape(1, 2, 2, 1)
    expected = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])
    np.testing.assert_array_equal(layers.upsample_nearest(x)[0, ..., 0], expected)
    np.testing.assert_array_equal(layers.average_pool(layers.upsample_nearest(x)), x)
    assert layers.average_pool(x).item() == 1.5
