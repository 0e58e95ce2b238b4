"""Flows by name, from a small config."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from genloss_jax._names import look_up
from genloss_jax.networks.adapters import from_linen
from genloss_jax.networks.flows.autoregressive import MADE, autoregressive
from genloss_jax.networks.flows.convolutional import ConvConditioner, invertible_linear, squeeze
from genloss_jax.networks.flows.coupling import MLPConditioner, coupling, half
from genloss_jax.networks.flows.elementary import activation_norm, permutation, reshape, reverse
from genloss_jax.networks.flows.flow import Flow, chain
from genloss_jax.networks.flows.transformers import Transformer, affine, rational_quadratic_spline
from genloss_jax.networks.layers import ACTIVATIONS


class FlowConfig(NamedTuple):
    """What a flow is; anything with these attributes will do.

    Attributes:
        layer: "coupling", "autoregressive" or "glow".
        transformer: "affine" or "spline".
        num_layers: layers of that kind, each after an activation norm; of a glow, at each of two resolutions.
        num_bins: of a spline.
        bound: half the length of the interval that a spline bends.
        max_log_scale: bound on the log-scale of an affine map.
    """

    layer: str = "coupling"
    transformer: str = "spline"
    num_layers: int = 6
    num_bins: int = 16
    bound: float = 4.0
    max_log_scale: float = 4.0


TRANSFORMERS: dict[str, Callable[[Any], Transformer]] = {
    "affine": lambda config: affine(config.max_log_scale),
    "spline": lambda config: rational_quadratic_spline(config.num_bins, config.bound),
}


def _coupling(config, network, transformer, shape):
    length = math.prod(shape)
    layers = []
    for index in range(config.num_layers):
        flip = bool(index % 2)
        module = MLPConditioner(
            (network.width,) * network.depth,
            half(length, flip)[1] * transformer.num_params,
            _activation(network),
            network.normalization,
            network.spectral_norm,
        )
        layers.append(activation_norm())
        if length > 2 and index and not flip:
            # Each pair of couplings parts the numbers in another way.
            layers.append(permutation(np.random.default_rng(index).permutation(length).tolist()))
        layers.append(coupling(from_linen(module, network.precision), transformer, flip=flip))
    return _flattened(shape, layers)


def _autoregressive(config, network, transformer, shape):
    module = MADE((network.width,) * network.depth, transformer.num_params, _activation(network))
    layer = [activation_norm(), autoregressive(from_linen(module, network.precision), transformer)]
    return _flattened(shape, [*layer, *[reverse(), *layer] * (config.num_layers - 1)])


def _glow(config, network, transformer, shape):
    if len(shape) != 3 or shape[0] % 4 or shape[1] % 4:
        raise ValueError(f"shape for a glow must be (H, W, C) with H and W multiples of 4, got {tuple(shape)}")
    layers = []
    for level in (1, 2):
        layers.append(squeeze())
        features = half(4**level * shape[-1], False)[1] * transformer.num_params
        module = ConvConditioner(network.width, features, _activation(network), network.convolution)
        step = [activation_norm(), invertible_linear(), coupling(from_linen(module, network.precision), transformer)]
        layers += step * config.num_layers
    return layers


class Body(NamedTuple):
    """A row of the table: what lays the layers, and the network inside them."""

    build: Callable[[Any, Any, Transformer, tuple[int, ...]], list[Flow]]
    network: str


BODIES: dict[str, Body] = {
    "coupling": Body(_coupling, "mlp"),
    "autoregressive": Body(_autoregressive, "mlp"),
    "glow": Body(_glow, "conv"),
}


def flow(config: Any, network: Any, *, shape: tuple[int, ...]) -> Flow:
    """Build a flow of equal layers, each after an activation norm.

    - "coupling" and "autoregressive" see the numbers of an example flattened. Couplings alternate which half they
      transform; of more than two numbers, a fixed permutation stands between pairs of them. Autoregressive layers
      alternate their order.
    - "glow" sees an image, squeezed once and then once more, with an invertible 1x1 convolution before each coupling.

    RealNVP is coupling and affine, a neural spline flow coupling and spline, a masked autoregressive flow
    autoregressive and affine.

    Args:
        config: a `FlowConfig` or anything with its attributes.
        network: a `NetworkConfig` or anything with its attributes: the "mlp" in each layer, or the "conv" of a glow.
        shape: of one example.

    Returns:
        The flow.

    Raises:
        ValueError: for an unknown name, an option out of range, or a shape that the layer does not take.

    References:
        Dinh et al. 2017, "Density estimation using Real NVP"; Papamakarios et al. 2017, "Masked autoregressive flow
        for density estimation"; Kingma and Dhariwal 2018, "Glow"; Durkan et al. 2019, "Neural spline flows".
    """
    body = look_up("layer of a flow", config.layer, BODIES)
    transformer = look_up("transformer of a flow", config.transformer, TRANSFORMERS)(config)
    look_up(f"network of the flow {config.layer!r}", network.name, {body.network: None})
    look_up("activation", network.activation, dict.fromkeys(("default", *ACTIVATIONS)))
    if config.num_layers < 1:
        raise ValueError(f"num_layers must be at least 1, got {config.num_layers}")
    if math.prod(shape) < 2:
        raise ValueError(f"shape must hold at least 2 numbers for a flow, got {tuple(shape)}")
    return chain(body.build(config, network, transformer, shape))


def _flattened(shape, layers):
    return layers if len(shape) == 1 else [reshape(shape, (math.prod(shape),)), *layers]


def _activation(network):
    return "relu" if network.activation == "default" else network.activation
