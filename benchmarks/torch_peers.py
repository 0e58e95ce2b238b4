"""The same networks and the same training step in PyTorch, as its users write them. Needs PyTorch.

The layers are those of `genloss_jax.networks.pair`: equal shapes, equal numbers of parameters, equal outputs for equal
parameters. The step is the usual one: Adam, eager mode, latents drawn anew in each player's turn, the critic's samples
made without a graph, and no gradient of the critic's parameters in the generator's turn.
"""

import itertools
from collections.abc import Callable

import torch
from torch import nn

SLOPE = 0.2


def mlp_pair(width: int, depth: int, latent_dim: int, dim: int) -> tuple[nn.Module, nn.Module]:
    """Make a generator with ReLU and a critic with leaky ReLU, both with `depth` hidden layers."""

    def layers(inputs, outputs, activation):
        widths = [inputs, *([width] * depth)]
        hidden = [part for pair in itertools.pairwise(widths) for part in (nn.Linear(*pair), activation())]
        return [*hidden, nn.Linear(width, outputs)]

    generator = nn.Sequential(*layers(latent_dim, dim, nn.ReLU))
    critic = nn.Sequential(*layers(dim, 1, lambda: nn.LeakyReLU(SLOPE)), nn.Flatten(0))
    return generator, critic


def dcgan_pair(width: int, latent_dim: int, channels: int, size: int = 32) -> tuple[nn.Module, nn.Module]:
    """Make a DCGAN with batch norm; latents are `[B, latent_dim]`, images `[B, channels, size, size]`."""
    stages = (size // 4).bit_length() - 1
    widths = [width * 2**stage for stage in range(stages)]
    up: list[nn.Module] = [
        nn.Unflatten(1, (latent_dim, 1, 1)),
        nn.ConvTranspose2d(latent_dim, widths[-1], 4, bias=False),
    ]
    for wide, narrow in zip(widths[:0:-1], widths[-2::-1], strict=True):
        up += [nn.BatchNorm2d(wide), nn.ReLU(True), nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False)]
    up += [nn.BatchNorm2d(width), nn.ReLU(True), nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh()]
    down: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(SLOPE, True)]
    for narrow, wide in itertools.pairwise(widths):
        down += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(SLOPE, True)]
    # The last layer is a dense one, whose bias batch norm does not make superfluous.
    down += [nn.Conv2d(widths[-1], 1, 4), nn.Flatten(0)]
    return nn.Sequential(*up), nn.Sequential(*down)


def num_params(*modules: nn.Module) -> int:
    """Count trained parameters."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def gan_step(
    generator: nn.Module,
    critic: nn.Module,
    *,
    latent_dim: int,
    learning_rate: float,
    betas: tuple[float, float],
    fused: bool = False,
) -> Callable[[torch.Tensor], None]:
    """Build one step of each player with the non-saturating loss: `step(real)`.

    Args:
        generator: `[B, latent_dim]` to examples.
        critic: examples to logits `[B]`.
        latent_dim: length of a latent.
        learning_rate: of both players.
        betas: of both players.
        fused: Adam's fused kernel instead of the default, one operation after the other.

    Returns:
        The step.
    """

    def adam(module: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(module.parameters(), lr=learning_rate, betas=betas, fused=fused or None)

    generator_adam, critic_adam = adam(generator), adam(critic)
    softplus = nn.functional.softplus

    def step(real: torch.Tensor) -> None:
        with torch.no_grad():
            fake = generator(torch.randn(len(real), latent_dim))
        critic_adam.zero_grad(set_to_none=True)
        (softplus(-critic(real)) + softplus(critic(fake))).mean().backward()
        critic_adam.step()
        critic.requires_grad_(False)
        generator_adam.zero_grad(set_to_none=True)
        softplus(-critic(generator(torch.randn(len(real), latent_dim)))).mean().backward()
        generator_adam.step()
        critic.requires_grad_(True)

    return step
