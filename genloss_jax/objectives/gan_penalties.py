"""The penalties that a config may name, as terms of the game."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from genloss_jax import _parts as parts
from genloss_jax._names import OR, look_up
from genloss_jax.losses import penalties
from genloss_jax.objectives.gan import Penalty, Turn, stateless
from genloss_jax.objectives.objective import hyper_value

# How fast the running averages of lecam and path_length forget: the values of their papers' code.
LECAM_DECAY = 0.99
PATH_LENGTH_DECAY = 0.99

SWITCHED = "penalty"
"""What a penalty is called that is several of which a traced index chooses."""


def _lecam(turn: Turn, averages: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, Any]:
    # The anchors are averages of the past: they are read, then moved, and no gradient flows through them.
    sides = (turn.real_logits, turn.fake_logits)
    means = jax.lax.stop_gradient(tuple(parts.mean(logits, "the penalty lecam") for logits in sides))
    value = penalties.lecam_penalty(turn.real_logits, turn.fake_logits, *averages)
    return value, penalties.update_average(averages, means, decay=LECAM_DECAY)


def _path_length(turn: Turn, average: jax.Array) -> tuple[jax.Array, jax.Array]:
    lengths = penalties.path_lengths(turn.generator_fn, turn.key, jax.lax.stop_gradient(turn.latents))
    mean = jax.lax.stop_gradient(parts.mean(lengths, "the penalty path_length"))
    average = penalties.update_average(average, mean, decay=PATH_LENGTH_DECAY)
    # penalties.path_length_penalty, with the lengths that are at hand: it would differentiate the generator again.
    return jnp.square(lengths - average), average


def _mode_seeking(turn: Turn) -> jax.Array:
    # Neighbours in the batch serve as the second draw.
    def neighbours(values):
        return parts.own(jnp.roll(parts.whole(values, "the penalty mode_seeking"), 1, axis=0))

    return penalties.mode_seeking_loss(turn.samples, neighbours(turn.samples), turn.latents, neighbours(turn.latents))


def _pulling_away(turn: Turn) -> jax.Array:
    samples = parts.whole(turn.samples, "the penalty pulling_away")
    return parts.own(penalties.pulling_away_loss(samples.reshape(samples.shape[0], -1)))


def _latent_consistency(turn: Turn) -> jax.Array:
    return penalties.latent_consistency_penalty(turn.generator_fn, turn.key, turn.latents, sigma=0.03)


DISCRIMINATOR_PENALTIES: dict[str, Penalty] = {
    "r1": stateless(lambda t: penalties.r1_penalty(t.critic_fn, t.real)),
    "r2": stateless(lambda t: penalties.r2_penalty(t.critic_fn, t.fake)),
    "wgan_gp": stateless(lambda t: penalties.wgan_gp_penalty(t.critic_fn, t.key, t.real, t.fake)),
    "wgan_lp": stateless(lambda t: penalties.wgan_lp_penalty(t.critic_fn, t.key, t.real, t.fake)),
    "zero_centered": stateless(lambda t: penalties.zero_centered_penalty(t.critic_fn, t.key, t.real, t.fake)),
    "dragan": stateless(lambda t: penalties.dragan_penalty(t.critic_fn, t.key, t.real)),
    "wgan_div": stateless(lambda t: penalties.wgan_div_penalty(t.critic_fn, t.key, t.real, t.fake)),
    "max_gradient": stateless(lambda t: penalties.max_gradient_penalty(t.critic_fn, t.key, t.real, t.fake)),
    "roth": stateless(lambda t: penalties.roth_penalty(t.critic_fn, t.real, t.fake)),
    "drift": stateless(lambda t: penalties.drift_penalty(t.real_logits)),
    "lecam": Penalty(_lecam, lambda: (jnp.zeros(()), jnp.zeros(()))),
    "orthogonal": stateless(lambda t: penalties.orthogonal_penalty(t.params)),
    "spectral": stateless(lambda t: penalties.spectral_penalty(t.params)),
}

GENERATOR_PENALTIES: dict[str, Penalty] = {
    "path_length": Penalty(_path_length, lambda: jnp.zeros(())),
    "mode_seeking": stateless(_mode_seeking),
    "latent_consistency": stateless(_latent_consistency),
    "pulling_away": stateless(_pulling_away),
    "orthogonal": stateless(lambda t: penalties.orthogonal_penalty(t.params)),
    "spectral": stateless(lambda t: penalties.spectral_penalty(t.params)),
}


def balanced_consistency(augment_fn: Callable[..., jax.Array]) -> Penalty:
    """Ask the critic to rate data and samples as it rates their augmentations (Zhao et al. 2021).

    Args:
        augment_fn: `(key, examples) -> examples`.
    """

    def apply(turn: Turn) -> jax.Array:
        real_key, fake_key = jax.random.split(turn.key)
        augmented_real = turn.critic_fn(augment_fn(real_key, turn.real))
        augmented_fake = turn.critic_fn(augment_fn(fake_key, turn.fake))
        return penalties.balanced_consistency_penalty(
            turn.real_logits, augmented_real, turn.fake_logits, augmented_fake
        )

    return stateless(apply)


def switched(names: Sequence[str]) -> Penalty:
    """Make one penalty of several, of which the traced `hyper["penalty_index"]` chooses.

    Args:
        names: of `penalties.switchable()`, which share one gradient of the critic.

    Raises:
        ValueError: if a name is not among them.
    """
    choose = penalties.switch(names)

    def apply(turn: Turn) -> jax.Array:
        penalty = choose(hyper_value(turn.hyper, f"{SWITCHED}_index"))
        return penalty(turn.critic_fn, turn.key, turn.real, turn.fake)

    return stateless(apply)


def named(
    what: str,
    config: Any,
    table: Mapping[str, Penalty],
    switch: Callable[[Sequence[str]], Penalty] | None = None,
) -> dict[str, Penalty]:
    """Look up the penalties of a config.

    Args:
        what: how errors call them.
        config: `name` holds names joined by "+", which are added, or "" for none; `every` the steps between
            evaluations; a `weight` of 0 switches them off.
        table: the penalties to choose from.
        switch: makes one penalty, called `SWITCHED`, of names joined by "|"; None where they cannot be.

    Returns:
        name -> penalty.

    Raises:
        ValueError: if a name is not in the table.
    """
    if switch is not None and OR in config.name:
        terms = {SWITCHED: switch(config.name.split(OR))}
    else:
        terms = {name: look_up(what, name, table) for name in config.name.split("+") if name}
    return {name: term._replace(every=config.every) for name, term in terms.items()} if config.weight else {}
