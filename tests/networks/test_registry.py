import jax
import jax.numpy as jnp
import pytest

from genloss_jax import networks
from genloss_jax.data import games


@pytest.mark.parametrize(
    "changes,shape,message",
    [
        ({"name": "dcgam"}, (8, 8, 1), "unknown network 'dcgam'; did you mean 'dcgan'"),
        ({"name": "dcgan", "normalization": "bach"}, (8, 8, 1), "did you mean 'batch'"),
        ({"name": "dcgan", "convolution": "patch"}, (8, 8, 1), "did you mean 'patches'"),
        ({"name": "mlp", "activation": "leakyrelu"}, (2,), "did you mean 'leaky_relu'"),
        ({"name": "dcgan"}, (28, 28, 1), r"must be one of \(8, 8, C\), \(16, 16, C\), .* got \(28, 28, 1\)"),
        ({"name": "resnet"}, (2,), r"shape for 'resnet' must be one of .* got \(2,\)"),
        ({"name": "r3gan"}, (8, 16, 1), r"got \(8, 16, 1\)"),
        ({"name": "linear", "spectral_norm": True}, (1,), "networks of the name 'linear' have no spectral_norm"),
    ],
)
def test_typos_and_unsupported_shapes_are_one_sentence(changes, shape, message):
    with pytest.raises(ValueError, match=message) as error:
        networks.pair(networks.NetworkConfig()._replace(**changes), shape=shape, latent_dim=4)
    assert "\n" not in str(error.value)


def test_pair_refuses_inputs_of_the_wrong_shape():
    generator, critic = networks.pair(networks.NetworkConfig(), shape=(2,), latent_dim=4, pack=2)
    with pytest.raises(ValueError, match=r"latents must have shape \[B, 4\], got \(3, 5\)"):
        generator.init(jax.random.key(0), jnp.zeros((3, 5)))
    with pytest.raises(ValueError, match=r"shape \[B, \(4,\)\], got \(3, 2\)"):
        critic.init(jax.random.key(0), jnp.zeros((3, 2)))
    params, state = critic.init(jax.random.key(0), jnp.zeros((3, 4)))
    assert critic.apply(params, state, jnp.zeros((3, 4)))[0].shape == (3,)


@pytest.mark.parametrize("arguments", [{"latent_dim": 0}, {"latent_dim": 4, "pack": 0}])
def test_pair_refuses_sizes_below_one(arguments):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        networks.pair(networks.NetworkConfig(), shape=(2,), **arguments)


def test_conditional_resnet_without_normalization_is_refused():
    config = networks.NetworkConfig(name="resnet", width=8, normalization="none")
    generator = networks.generator(config, shape=(8, 8, 1), num_classes=3)
    with pytest.raises(ValueError, match="conditional residual generator, got 'none'"):
        generator.init(jax.random.key(0), jnp.zeros((2, 4)), jnp.zeros(2, jnp.int32))


def test_activation_default_is_the_architectures_own():
    latents = jnp.linspace(-2.0, 2.0, 8).reshape(2, 4)
    outputs = {}
    for activation in ("default", "relu", "gelu"):
        config = networks.NetworkConfig(activation=activation)
        generator = networks.generator(config, shape=(2,))
        params, state = generator.init(jax.random.key(0), latents)
        outputs[activation] = generator.apply(params, state, latents)[0]
    assert (outputs["default"] == outputs["relu"]).all()
    assert (outputs["default"] != outputs["gelu"]).any()


def test_linear_pair_is_that_of_the_games():
    game = games.two_gaussians()
    generator, critic = networks.pair(networks.NetworkConfig(name="linear"), shape=(1,), latent_dim=1)
    x = jnp.linspace(-2.0, 2.0, 5)[:, None]
    for network, expected in ((generator, game.generator_fn), (critic, game.critic_fn)):
        params, state = network.init(jax.random.key(0), x)
        (start,) = jax.tree.leaves(params)
        assert (start == 1.0).all()
        moved = jax.tree.map(lambda leaf: leaf - 0.75, params)
        assert (network.apply(moved, state, x)[0] == expected(jnp.array([0.25]), x)).all()


def test_linear_generator_adds_only_what_has_the_shape_of_an_example():
    generator, _ = networks.pair(networks.NetworkConfig(name="linear"), shape=(2,), latent_dim=3)
    with pytest.raises(ValueError, match="latents must have 2 numbers, got 3"):
        generator.init(jax.random.key(0), jnp.zeros((4, 3)))


def test_conditional_linear_networks_are_refused():
    with pytest.raises(ValueError, match="have no num_classes"):
        networks.pair(networks.NetworkConfig(name="linear"), shape=(1,), latent_dim=1, num_classes=3)
