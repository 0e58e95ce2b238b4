"""The Dirac-GAN of any loss and penalty: its gradient field, and the path that our own step takes through it.

Data are the point 0, the generator makes the point theta, and the critic is `psi x + level`. At theta = psi = 0 neither
player can gain: the equilibrium. Points of the plane are `[theta, psi]`.

References:
    Mescheder, Geiger and Nowozin 2018, Which Training Methods for GANs do actually Converge?, section 2.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from scipy import optimize

from genloss_jax import networks, objectives, training
from genloss_jax.losses.adversarial import AdversarialLoss
from genloss_jax.training.optimizers import clip_weights

Field = Callable[[Float[Array, "2"]], Float[Array, "2"]]
"""Maps a point to the velocity of the players who follow their gradients."""
PenaltyFn = Callable[..., Float[Array, " batch"]]
"""A penalty on the critic, `(critic_fn, key, real, fake) -> [B]`."""

NUM_EXAMPLES = 64  # in a batch, all of them the same point; few losses depend on their number
_LARGEST_LEVEL = 4.0


def field(
    loss: AdversarialLoss | None, penalty: PenaltyFn | None = None, *, weight: float = 1.0, level: float = 0.0
) -> Field:
    """Give minus each player's gradient of its own loss. It is the sum of the fields of the loss and of the penalty.

    Args:
        loss: the adversarial loss; None for the penalty's part alone.
        penalty: on the critic; None for none.
        weight: of the penalty.
        level: of the critic's output, see `level`.

    Returns:
        The field, in the dtype of its points.
    """

    def losses(theta, psi):
        real = jnp.zeros((NUM_EXAMPLES, 1), theta.dtype)
        fake = jnp.broadcast_to(theta, real.shape)

        def critic_fn(x):
            return psi * x[:, 0] + level

        by_critic = by_generator = jnp.zeros((), theta.dtype)
        if loss is not None:
            logits = critic_fn(real), critic_fn(fake)
            by_critic, by_generator = jnp.mean(loss.discriminator(*logits)), jnp.mean(loss.generator(*logits))
        if penalty is not None:
            by_critic += weight * jnp.mean(penalty(critic_fn, jax.random.key(0), real, fake))
        return by_generator, by_critic

    def velocity(point):
        theta, psi = point
        by_theta = jax.grad(lambda own: losses(own, psi)[0])(theta)
        by_psi = jax.grad(lambda own: losses(theta, own)[1])(psi)
        return -jnp.stack([by_theta, by_psi])

    return velocity


def level(loss: AdversarialLoss) -> float:
    """Find the critic's output where real and generated examples are alike: the critic's loss is stationary there.

    0 for most losses, and where the offset of the logits is free. A critic without a bias, as in `configs/dirac.py`,
    has no other level than 0.

    Args:
        loss: the adversarial loss.

    Returns:
        The level.

    Raises:
        ValueError: if there is none between -4 and 4.
    """

    def slope(offset: float) -> float:
        def total(offset):
            logits = jnp.full(NUM_EXAMPLES, offset)
            return jnp.mean(loss.discriminator(logits, logits))

        return float(jax.grad(total)(offset))

    with jax.enable_x64(True):
        if abs(slope(0.0)) < 1e-12:
            return 0.0
        if slope(-_LARGEST_LEVEL) * slope(_LARGEST_LEVEL) > 0.0:
            raise ValueError(f"loss has no level of the critic between {-_LARGEST_LEVEL} and {_LARGEST_LEVEL}")
        return float(optimize.brentq(slope, -_LARGEST_LEVEL, _LARGEST_LEVEL, xtol=1e-14))


def path(
    loss: AdversarialLoss,
    penalty: PenaltyFn | None = None,
    *,
    weight: float = 1.0,
    clip: float = 0.0,
    play: str = "alternating",
    rate: float,
    num_steps: int,
) -> np.ndarray:
    """Train the Dirac-GAN from theta = psi = 1 by `objectives.gan` and `training.make_step`, with plain gradients.

    Args:
        loss: the adversarial loss.
        penalty: on the critic; None for none.
        weight: of the penalty.
        clip: bound on |psi| after each step; 0 for none.
        play: as in `training.Schedule`.
        rate: step size of both players.
        num_steps: length of the path.

    Returns:
        `[num_steps + 1, 2]`, the points that it passes.
    """
    terms = {}
    if penalty is not None:
        terms["penalty"] = objectives.stateless(lambda turn: penalty(turn.critic_fn, turn.key, turn.real, turn.fake))
    generator, critic = networks.pair(networks.NetworkConfig(name="linear"), shape=(1,), latent_dim=1)
    objective = objectives.gan(generator, critic, loss=loss, latent_dim=1, latent="zero", penalties=terms)
    rules = {"generator": [optax.sgd(rate)], "discriminator": [optax.sgd(rate), *[clip_weights(clip)] * bool(clip)]}
    optimizers = {player: partial(_chain, parts) for player, parts in rules.items()}
    init, step = training.make_step(objective, optimizers, training.Schedule(play=play))
    batch = {"x": jnp.zeros((NUM_EXAMPLES, 1))}

    def walk(state, _):
        leaves = [*jax.tree.leaves(state.params["generator"]), *jax.tree.leaves(state.params["discriminator"])]
        return step(state, batch)[0], jnp.concatenate(leaves)

    def run(key):
        state = init(key, batch, {"penalty_weight": weight})
        return jax.lax.scan(walk, state, length=num_steps + 1)[1]

    return np.asarray(jax.jit(run)(jax.random.key(0)))


def _chain(parts: list[optax.GradientTransformation], hyper: Any) -> optax.GradientTransformation:
    return optax.chain(*parts)
