"""Masked autoregressive layers: each number is transformed as those before it say."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genloss_jax.networks import initializers
from genloss_jax.networks.flows.flow import Flow, per_example
from genloss_jax.networks.flows.transformers import Transformer
from genloss_jax.networks.layers import ACTIVATIONS
from genloss_jax.networks.network import Network


class MADE(nn.Module):
    """A multilayer perceptron whose outputs of number i depend on the numbers before i only.

    Every unit has a degree and is connected to units of no higher degree; outputs, to units of lower degree. The
    output starts at 0.

    Attributes:
        widths: of the hidden layers.
        num_params: P, outputs of each number.
        activation: a name of `layers.ACTIVATIONS`.

    References:
        Germain et al. 2015, "MADE: masked autoencoder for distribution estimation", section 4.
    """

    widths: tuple[int, ...]
    num_params: int
    activation: str = "relu"

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        """Map `[B, D]` to `[B, D, P]`."""
        del train
        num = x.shape[-1]
        degrees = np.arange(1, num + 1)
        hidden = x
        for index, width in enumerate(self.widths):
            own = np.arange(width) % max(num - 1, 1) + min(num - 1, 1)
            mask = own[None, :] >= degrees[:, None]
            hidden = ACTIVATIONS[self.activation](self._masked(f"hidden_{index}", hidden, mask))
            degrees = own
        outputs = np.repeat(np.arange(1, num + 1), self.num_params)
        mask = outputs[None, :] > degrees[:, None]
        return self._masked("output", hidden, mask, nn.initializers.zeros).reshape(-1, num, self.num_params)

    def _masked(self, name, x, mask, kernel_init=initializers.he_normal()):  # noqa: B008
        kernel = self.param(f"{name}_kernel", kernel_init, mask.shape)
        bias = self.param(f"{name}_bias", nn.initializers.zeros, mask.shape[-1:])
        return x @ (kernel * mask) + bias[None, :]


def autoregressive(network: Network, transformer: Transformer) -> Flow:
    """Transform each number as those before it say.

    z_i = τ(x_i; θ_i(x_1, ..., x_{i-1})); log |det| = Σ_i log τ'(x_i; θ_i)

    `forward` is one pass through the network. `inverse` is D passes, since x_i must be known before θ_{i+1}.

    Args:
        network: θ, from `[B, D]` to `[B, D, P]`, with P parameters of the transformer for each number, those of
            number i depending on the numbers before it only (`MADE`).
        transformer: τ.

    Returns:
        The flow.

    Raises:
        ValueError: while tracing, if x is not `[B, D]` or the network's output does not fit.

    References:
        Papamakarios et al. 2017, "Masked autoregressive flow for density estimation", section 3.1.
    """

    def condition(params, state, x, **options):
        if x.ndim != 2:
            raise ValueError(f"x of an autoregressive layer must have shape [B, D], got {x.shape}")
        theta, state = network.apply(params, state, x, **options)
        if theta.shape != (*x.shape, transformer.num_params):
            raise ValueError(
                f"network must give outputs of shape {(*x.shape, transformer.num_params)}, got {theta.shape}"
            )
        return theta, state

    def forward(params, state, x, train=False, key=None):
        theta, state = condition(params, state, x, train=train, key=key)
        z, log_slope = transformer.forward(theta, x)
        return z, per_example(log_slope), state

    def inverse(params, state, z):
        # After pass i the first i numbers are right, whatever the others are.
        def refine(_, x):
            return transformer.inverse(condition(params, state, x)[0], z)

        return jax.lax.fori_loop(0, z.shape[-1], refine, jnp.zeros_like(z))

    return Flow(network.init, forward, inverse)
