import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax import networks
from genloss_jax.networks.dcgan import DCGANCritic, DCGANGenerator

LATENT = 6
WIDTHS = {"mlp": 16, "dcgan": 4, "resnet": 8, "r3gan": 8}
IMAGE_NETWORKS = [name for name, row in networks.ARCHITECTURES.items() if row.images_only]


def _config(name, **changes):
    return networks.NetworkConfig(name=name, width=WIDTHS[name])._replace(**changes)


def _latents(num, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal((num, LATENT)), jnp.float32)


def _shapes(network, *inputs):
    """Outputs and state without computing anything."""
    params, state = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    out, _ = jax.eval_shape(lambda p, s, *i: network.apply(p, s, *i, train=True), params, state, *inputs)
    return out.shape, params, state


def _shifted(params, by):
    # In NumPy: an operation of JAX would be compiled once per shape.
    return jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(by), params)


def _same(left, right):
    return jax.tree.map(lambda a, b: np.array_equal(a, b), left, right)


def _count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 32, 64])
@pytest.mark.parametrize("name", IMAGE_NETWORKS)
def test_image_pairs_have_the_right_shapes(name, size, channels, num_classes):
    config = _config(name, normalization="batch")
    shape = (size, size, channels)
    generator, critic = networks.pair(config, shape=shape, latent_dim=LATENT, num_classes=num_classes, pack=2)
    labels = () if num_classes is None else (jnp.zeros(5, jnp.int32),)
    assert _shapes(generator, _latents(5), *labels)[0] == (5, *shape)
    assert _shapes(critic, jnp.zeros((5, size, size, 2 * channels)), *labels)[0] == (5,)


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("shape", [(2,), (4, 4, 1)])
def test_mlp_pairs_have_the_right_shapes(shape, num_classes):
    generator, critic = networks.pair(_config("mlp"), shape=shape, latent_dim=LATENT, num_classes=num_classes)
    labels = () if num_classes is None else (jnp.zeros(5, jnp.int32),)
    assert _shapes(generator, _latents(5), *labels)[0] == (5, *shape)
    assert _shapes(critic, jnp.zeros((5, *shape)), *labels)[0] == (5,)


def test_mlp_has_depth_hidden_layers_of_width_and_counts_as_by_hand():
    generator, critic = networks.pair(_config("mlp", width=16, depth=3), shape=(2,), latent_dim=LATENT)
    _, params, _ = _shapes(generator, _latents(1))
    assert _count(params) == (6 * 16 + 16) + 2 * (16 * 16 + 16) + (16 * 2 + 2)
    _, params, _ = _shapes(critic, jnp.zeros((1, 2)))
    assert _count(params) == (2 * 16 + 16) + 2 * (16 * 16 + 16) + (16 + 1)


def test_dcgan_64_has_as_many_parameters_as_pytorchs():
    # Its tutorial's networks with ngf = ndf = 64, nz = 100, nc = 3, and one bias more in our last layer.
    generator, critic = DCGANGenerator(64, 3), DCGANCritic()
    _, params, _ = _shapes(networks.from_linen(generator), jnp.zeros((1, 100)))
    assert _count(params) == 3_576_704
    _, params, _ = _shapes(networks.from_linen(critic), jnp.zeros((1, 64, 64, 3)))
    assert _count(params) == 2_765_568 + 1


@pytest.mark.parametrize("size,stages,smallest", [(8, 2, 2), (16, 2, 4), (32, 3, 4), (64, 4, 4)])
def test_dcgan_kernels_are_as_by_hand_at_every_size(size, stages, smallest):
    widths = [8 * 2**i for i in range(stages)]
    _, params, _ = _shapes(networks.from_linen(DCGANGenerator(size, 3, 8)), _latents(1))
    kernels = [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
    chain = [*reversed(widths), 3]
    expected = [(LATENT, smallest**2 * chain[0])] + [(4, 4, a, b) for a, b in itertools.pairwise(chain)]
    assert sorted(kernels) == sorted(expected)
    _, params, state = _shapes(networks.from_linen(DCGANCritic(8)), jnp.zeros((1, size, size, 3)))
    kernels = [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
    chain = [3, *widths]
    expected = [(smallest**2 * widths[-1], 1)] + [(4, 4, a, b) for a, b in itertools.pairwise(chain)]
    assert sorted(kernels) == sorted(expected)
    # Batch norm behind every convolution but the first.
    assert len(jax.tree.leaves(state)) == 2 * (stages - 1)


def test_dcgan_starts_from_its_papers_distribution():
    params, _ = networks.from_linen(DCGANGenerator(16, 1, 32)).init(jax.random.key(0), _latents(2))
    kernels = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params) if leaf.ndim > 1])
    np.testing.assert_allclose([kernels.mean(), kernels.std()], [0.0, 0.02], atol=5e-4)
    scales = np.concatenate([np.ravel(norm["scale"]) for name, norm in params.items() if "Norm" in name])
    np.testing.assert_allclose([scales.mean(), scales.std()], [1.0, 0.02], atol=0.01)


@pytest.fixture(scope="module", params=[*WIDTHS])
def trained(request):
    """A conditional pair with every option, its variables after two training calls, and inputs."""
    name = request.param
    config = _config(name, normalization="batch", spectral_norm=True, minibatch_stddev=True, convolution="patches")
    networks_ = networks.pair(config, shape=(8, 8, 1), latent_dim=LATENT, num_classes=3)
    labels = jnp.arange(8) % 3
    inputs = (_latents(8), jnp.asarray(np.random.default_rng(1).standard_normal((8, 8, 8, 1)), jnp.float32))
    players = []
    for seed, (network, x) in enumerate(zip(networks_, inputs, strict=True)):
        params, state = jax.jit(network.init)(jax.random.key(seed), x, labels)
        # Blocks that start as the identity, and biases at zero, would hide mistakes.
        params = _shifted(params, 0.1)
        train = jax.jit(lambda p, s, x, y, network=network: network.apply(p, s, x, y, train=True))
        evaluate = jax.jit(lambda p, s, x, y, network=network: network.apply(p, s, x, y))
        first = state
        _, state = train(params, state, x, labels)
        out, state = train(params, state, x, labels)
        players.append((network, params, first, state, x, labels, out, evaluate))
    return name, players


def test_training_moves_the_state_and_evaluation_does_not(trained):
    name, players = trained
    for player, (_, params, first, state, x, labels, _, evaluate) in zip("GD", players, strict=True):
        if not (name == "r3gan" and player == "G"):
            assert jax.tree.leaves(state)
        # A power-iteration vector of length one is a sign and has nowhere to go.
        stayed = jax.tree.map(lambda a, b: a.shape != (1,) and np.array_equal(a, b), first, state)
        assert not any(jax.tree.leaves(stayed)), stayed
        _, same = evaluate(params, state, x, labels)
        assert jax.tree.all(_same(state, same))


def test_evaluation_treats_every_example_by_itself(trained):
    for _, params, _, state, x, labels, _, evaluate in trained[1]:
        out, _ = evaluate(params, state, x, labels)
        assert np.isfinite(out).all() and np.ptp(out) > 0
        others = np.array(x)
        others[1:] *= -3.0
        changed, _ = evaluate(params, state, others, labels)
        np.testing.assert_allclose(changed[0], out[0], rtol=1e-5, atol=1e-5)
        assert np.abs(changed[1:] - out[1:]).max() > 1e-4


def test_labels_matter(trained):
    for _, params, _, state, x, labels, _, evaluate in trained[1]:
        # Distinct classes even where all scales start at one.
        params = jax.tree.map(
            lambda leaf: (
                leaf * np.array([[0.5], [1.0], [2.0]], np.float32) if leaf.shape[0] == 3 and leaf.ndim == 2 else leaf
            ),
            params,
        )
        out, _ = evaluate(params, state, x, labels)
        other, _ = evaluate(params, state, x, (labels + 1) % 3)
        assert np.abs(out - other).max() > 1e-4


def test_members_under_vmap_equal_single_runs(trained):
    for network, params, _, state, x, labels, _, evaluate in trained[1]:
        members = jax.tree.map(lambda leaf: np.stack([leaf, np.float32(1.1) * leaf]), params)
        run = jax.jit(jax.vmap(lambda p, s, x, y, n=network: n.apply(p, s, x, y)[0], (0, None, None, None)))
        together = run(members, state, x, labels)
        for index in range(2):
            own = jax.tree.map(lambda leaf, index=index: leaf[index], members)
            np.testing.assert_allclose(together[index], evaluate(own, state, x, labels)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", IMAGE_NETWORKS)
def test_native_and_patches_pairs_are_the_same_function(name):
    labels = np.arange(4) % 3
    images = np.random.default_rng(1).standard_normal((4, 8, 8, 1))
    for player, x in enumerate((np.float64(_latents(4)), images)):
        results = []
        for implementation in ("native", "patches"):
            config = _config(name, normalization="group", convolution=implementation)
            network = networks.pair(config, shape=(8, 8, 1), latent_dim=LATENT, num_classes=3)[player]
            params, state = jax.jit(network.init)(jax.random.key(0), np.float32(x), labels)

            def loss(params, x, network=network, state=state):
                return jnp.sum(jnp.sin(network.apply(params, state, x, labels, train=True)[0]))

            with jax.enable_x64(True):
                params = jax.tree.map(lambda leaf: np.float64(leaf) + 0.05, params)
                results.append((params, jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(params, x)))
        for native, patches in zip(*map(jax.tree.leaves, results), strict=True):
            assert native.dtype == np.float64
            np.testing.assert_allclose(patches, native, rtol=1e-8, atol=1e-8)


def test_r3gan_blocks_start_as_the_identity_so_that_the_generator_is_linear_in_its_basis():
    generator, _ = networks.pair(_config("r3gan"), shape=(8, 8, 1), latent_dim=LATENT)
    z = _latents(4)
    params, state = jax.jit(generator.init)(jax.random.key(0), z)
    apply = jax.jit(lambda p, z: generator.apply(p, state, z)[0])
    zero = apply(params, jnp.zeros_like(z))
    np.testing.assert_allclose(apply(params, 2 * z) - zero, 2 * (apply(params, z) - zero), rtol=1e-4, atol=1e-5)
    params = _shifted(params, 0.1)
    bent = apply(params, 2 * z) - 2 * apply(params, z) + apply(params, jnp.zeros_like(z))
    assert np.abs(bent).max() > 1e-3


@pytest.mark.parametrize("normalization,collections", [("batch", {"batch_stats"}), ("group", set()), ("none", set())])
def test_normalization_is_a_choice_and_only_batch_norm_has_state(normalization, collections):
    for name in ("dcgan", "resnet", "mlp"):
        config = _config(name, normalization=normalization)
        generator, _ = networks.pair(config, shape=(16, 16, 1), latent_dim=LATENT)
        assert set(_shapes(generator, _latents(2))[2]) == collections


def test_compiled_init_of_a_pair_equals_the_eager_one():
    generator, _ = networks.pair(_config("dcgan"), shape=(8, 8, 1), latent_dim=LATENT)
    eager, _ = generator.init(jax.random.key(0), _latents(2))
    compiled, _ = jax.jit(generator.init)(jax.random.key(0), _latents(2))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8), eager, compiled)


def test_mlp_without_hidden_layers_is_its_dense_layer():
    network = networks.from_linen(networks.MLP((), 3))
    x = _latents(4)
    params, state = network.init(jax.random.key(0), x)
    (dense,) = params.values()
    np.testing.assert_allclose(network.apply(params, state, x)[0], x @ dense["kernel"] + dense["bias"][None], rtol=1e-5)
    assert isinstance(networks.MLP((4,), 3), nn.Module)
