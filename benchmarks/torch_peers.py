"""The same networks and the same training step in PyTorch, as its users write them. Needs PyTorch.

The layers are those of `genloss_jax.networks.pair`: equal shapes, equal numbers of parameters, equal outputs for equal
parameters. The step is the usual one: Adam, eager mode, latents drawn anew in each player's turn, the critic's samples
made without a graph, and no gradient of the critic's parameters in the generator's turn.
"""

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import func, nn
from torch.nn.functional import relu, softplus

SLOPE = 0.2


class Loss(NamedTuple):
    """An adversarial loss, each player's as a function of the logits of data and of samples, `[B]`.

    Attributes:
        discriminator: of the discriminator.
        generator: of the generator.
        sees_real: whether the generator's depends on the logits of data; where it does not, they are not computed.
    """

    discriminator: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    generator: Callable[..., torch.Tensor]
    sees_real: bool = False


def _logistic(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    return softplus(-real) + softplus(fake)


LOSSES = {
    "minimax": Loss(_logistic, lambda real, fake: -softplus(fake)),
    "non_saturating": Loss(_logistic, lambda real, fake: softplus(-fake)),
    "label_smoothed": Loss(
        lambda real, fake: 0.9 * softplus(-real) + 0.1 * softplus(real) + softplus(fake),
        lambda real, fake: softplus(-fake),
    ),
    "least_squares": Loss(
        lambda real, fake: 0.5 * (real - 1.0) ** 2 + 0.5 * fake**2, lambda real, fake: 0.5 * (fake - 1.0) ** 2
    ),
    "wasserstein": Loss(lambda real, fake: fake - real, lambda real, fake: -fake),
    "hinge": Loss(lambda real, fake: relu(1.0 - real) + relu(1.0 + fake), lambda real, fake: -fake),
    "boundary_seeking": Loss(_logistic, lambda real, fake: 0.5 * fake**2),
    "relativistic_paired": Loss(
        lambda real, fake: softplus(fake - real), lambda real, fake: softplus(real - fake), sees_real=True
    ),
}


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
    loss: Loss = LOSSES["non_saturating"],
    fused: bool = False,
) -> Callable[[torch.Tensor], None]:
    """Build one step of each player: `step(real)`.

    Args:
        generator: `[B, latent_dim]` to examples.
        critic: examples to logits `[B]`.
        latent_dim: length of a latent.
        learning_rate: of both players.
        betas: of both players.
        loss: of the game.
        fused: Adam's fused kernel instead of the default, one operation after the other.

    Returns:
        The step.
    """

    def adam(module: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(module.parameters(), lr=learning_rate, betas=betas, fused=fused or None)

    generator_adam, critic_adam = adam(generator), adam(critic)

    def step(real: torch.Tensor) -> None:
        with torch.no_grad():
            fake = generator(torch.randn(len(real), latent_dim))
        critic_adam.zero_grad(set_to_none=True)
        loss.discriminator(critic(real), critic(fake)).mean().backward()
        critic_adam.step()
        critic.requires_grad_(False)
        generator_adam.zero_grad(set_to_none=True)
        fake_logits = critic(generator(torch.randn(len(real), latent_dim)))
        loss.generator(critic(real) if loss.sees_real else None, fake_logits).mean().backward()
        generator_adam.step()
        critic.requires_grad_(True)

    return step


def ensemble_step(
    pairs: Sequence[tuple[nn.Module, nn.Module]],
    *,
    latent_dim: int,
    learning_rate: float,
    betas: tuple[float, float],
    loss: Loss,
) -> tuple[Callable[[torch.Tensor], None], tuple[dict[str, torch.Tensor], ...]]:
    """Build the step of `gan_step` for several members at once, by `torch.func`: `(step, params)`.

    Adam treats every number alone, so that one over the stacked parameters is one for each member.

    Args:
        pairs: generator and critic of each member.
        latent_dim: length of a latent.
        learning_rate: of all players.
        betas: of all players.
        loss: of all games.

    Returns:
        The step, which takes `[members, B, ...]` examples, and what it moves: the stacked parameters of both players.
    """
    generators, critics = zip(*pairs, strict=True)
    # Without values: the shell that the stacked parameters are put in.
    shells = [copy.deepcopy(modules[0]).to("meta") for modules in (generators, critics)]
    generator_params, critic_params = (func.stack_module_state(modules)[0] for modules in (generators, critics))

    def generate(params, latents):
        return func.functional_call(shells[0], params, (latents,))

    def criticise(params, examples):
        return func.functional_call(shells[1], params, (examples,))

    def critic_loss(params, real, fake):
        return loss.discriminator(criticise(params, real), criticise(params, fake)).mean()

    def generator_loss(params, critic, real, latents):
        fake_logits = criticise(critic, generate(params, latents))
        return loss.generator(criticise(critic, real) if loss.sees_real else None, fake_logits).mean()

    adams = [
        torch.optim.Adam(params.values(), lr=learning_rate, betas=betas) for params in (generator_params, critic_params)
    ]
    samples = func.vmap(generate)
    critic_gradients, generator_gradients = func.vmap(func.grad(critic_loss)), func.vmap(func.grad(generator_loss))

    def move(adam, params, gradients):
        for name, value in params.items():
            value.grad = gradients[name]
        adam.step()

    def step(real: torch.Tensor) -> None:
        with torch.no_grad():
            fake = samples(generator_params, torch.randn(*real.shape[:2], latent_dim))
            move(adams[1], critic_params, critic_gradients(critic_params, real, fake))
            latents = torch.randn(*real.shape[:2], latent_dim)
            move(adams[0], generator_params, generator_gradients(generator_params, critic_params, real, latents))

    return step, (generator_params, critic_params)
