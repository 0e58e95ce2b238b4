"""What benchmarks/step_time.py measures: networks, batches, and the arithmetic of their layers."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from genloss_jax import networks
from genloss_jax.training import loop


class Layer(NamedTuple):
    """A layer as a matrix product, per example: `positions` rows, `inputs` by `outputs`."""

    positions: int
    inputs: int
    outputs: int


class Case(NamedTuple):
    """A network, a batch, and how it is trained.

    Attributes:
        network: as `networks.pair` takes it.
        shape: of one example.
        latent_dim: length of a latent.
        batch_size: examples of one move.
        steps_per_dispatch: steps in one call of our program.
        widest: the layer whose shape the second matmul peak is measured at.
        target: how many times as fast as PyTorch the step is to be.
    """

    network: networks.NetworkConfig
    shape: tuple[int, ...]
    latent_dim: int
    batch_size: int
    steps_per_dispatch: int
    widest: Layer
    target: float
    learning_rate: float = 2e-4
    b1: float = 0.5
    b2: float = 0.999


def _plane(width: int, batch_size: int, target: float) -> Case:
    network = networks.NetworkConfig("mlp", width, depth=3)
    return Case(network, (2,), 2, batch_size, loop.AUTOMATIC_STEPS, Layer(1, width, width), target)


CASES = {
    "plane-128": _plane(128, 256, target=2.5),
    "plane-64": _plane(64, 128, target=6.0),
    "dcgan-32": Case(
        networks.NetworkConfig("dcgan", 64, normalization="batch"),
        (32, 32, 3),
        latent_dim=100,
        batch_size=64,
        steps_per_dispatch=1,
        widest=Layer(64, 1024, 128),
        target=1.1,
    ),
}


def matmul_flops(case: Case) -> int:
    """Count the multiplications and additions of one step's matrix products, from the shapes of the layers alone.

    Per example, with F the forward pass of a network and a backward pass of F for parameters and F for inputs, of which
    the first layer's inputs need none: critic's turn F(G) + 2 (3 F(D) - first layer of D); generator's turn
    3 F(G) - first layer of G + 2 F(D).
    """
    generator, critic = _layers(case)

    def forward(layers: Sequence[Layer]) -> int:
        return sum(2 * layer.positions * layer.inputs * layer.outputs for layer in layers)

    critic_turn = forward(generator) + 2 * (3 * forward(critic) - forward(critic[:1]))
    generator_turn = 3 * forward(generator) - forward(generator[:1]) + 2 * forward(critic)
    return case.batch_size * (critic_turn + generator_turn)


def _layers(case: Case) -> tuple[list[Layer], list[Layer]]:
    """List the layers of generator and critic."""
    width = case.network.width
    if case.network.name == "mlp":
        hidden = [Layer(1, width, width)] * (case.network.depth - 1)
        (dim,) = case.shape
        return (
            [Layer(1, case.latent_dim, width), *hidden, Layer(1, width, dim)],
            [Layer(1, dim, width), *hidden, Layer(1, width, 1)],
        )
    size, channels = case.shape[0], case.shape[-1]
    # A 4x4 convolution of stride 2 between an image with few channels and one of half its size with many.
    halvings = [channels, *(width * 2**stage for stage in range((size // 4).bit_length() - 1))]
    positions = [(size // 2**stage) ** 2 for stage in range(1, len(halvings))]
    pairs = list(zip(positions, itertools.pairwise(halvings), strict=True))
    widest = 16 * halvings[-1]
    return (
        [Layer(1, case.latent_dim, widest), *(Layer(n, many, 16 * few) for n, (few, many) in reversed(pairs))],
        [*(Layer(n, 16 * few, many) for n, (few, many) in pairs), Layer(1, widest, 1)],
    )


def examples(case: Case, num_batches: int) -> np.ndarray:
    """Draw `[num_batches, B, *shape]` examples in [-1, 1]; their values do not matter here."""
    shape = (num_batches, case.batch_size, *case.shape)
    return np.random.default_rng(0).uniform(-1.0, 1.0, shape).astype(np.float32)
