"""Generative adversarial networks: a generator, a discriminator, and any adversarial loss between them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genloss_jax import _parts as parts
from genloss_jax._names import look_up
from genloss_jax.networks.network import Network
from genloss_jax.objectives._head import Head, chosen
from genloss_jax.objectives.objective import Hyper, Objective, Variables, check_counts, hyper_value, mean, num_examples

DISCRIMINATOR, GENERATOR = "discriminator", "generator"

LATENTS: dict[str, Callable[..., jax.Array]] = {
    "normal": jax.random.normal,
    "uniform": lambda key, shape: jax.random.uniform(key, shape, minval=-1.0, maxval=1.0),
    "zero": lambda key, shape: jnp.zeros(shape),
}


class Turn(NamedTuple):
    """What a penalty may look at in a player's turn.

    Attributes:
        key: for the penalty's own draws.
        critic_fn: `[B, ...] -> [B]` logits of what the critic sees (augmented, noised, packed), labels bound.
        generator_fn: `[B, latent_dim] -> [B, ...]` samples, labels bound.
        latents: `[B, latent_dim]`.
        real: what the critic saw of the data.
        fake: what the critic saw of the samples.
        samples: the generator's output itself.
        real_logits: `[B]`, or `[B, A]` of a distributional critic.
        fake_logits: likewise.
        params: the parameters of the player whose turn it is.
        hyper: the traced scalars.
    """

    key: jax.Array
    critic_fn: Callable[[jax.Array], jax.Array]
    generator_fn: Callable[[jax.Array], jax.Array]
    latents: jax.Array
    real: jax.Array
    fake: jax.Array
    samples: jax.Array
    real_logits: jax.Array
    fake_logits: jax.Array
    params: Any
    hyper: Hyper


class Penalty(NamedTuple):
    """A term added to a player's loss with the weight `hyper["<name>_weight"]`.

    Attributes:
        apply: `(turn, state) -> (values, state)`, values per example or a scalar.
        init: `() -> state`, what the penalty remembers between steps: kept in `aux`.
        every: evaluate on every so-manyth step only, with so many times the weight (lazy regularisation, Karras et
            al. 2020, appendix B). Saves time in a single run; vmapped members compute it at every step.
    """

    apply: Callable[[Turn, Any], tuple[jax.Array, Any]]
    init: Callable[[], Any] = tuple
    every: int = 1


def stateless(fn: Callable[[Turn], jax.Array], every: int = 1) -> Penalty:
    """Make a penalty of a function of the turn alone."""
    return Penalty(lambda turn, state: (fn(turn), state), every=every)


class Inputs(NamedTuple):
    """What stands between examples and the critic. Each option is off by default, and they compose in this order.

    Attributes:
        noise: add Gaussian noise of standard deviation `hyper["instance_noise"]` to data and samples alike
            (Sønderby et al. 2017; Roth et al. 2017).
        augment: `(key, examples, probability) -> examples`, differentiable, for data and samples alike
            (Zhao et al. 2020).
        adapt: `(probability, real_logits) -> probability`. With it the probability lives in `aux` and starts at 0
            (Karras et al. 2020); without it, it is `hyper["augment_probability"]`.
        pack: how many examples the critic sees at once, joined along their last axis (Lin et al. 2018).
    """

    noise: bool = False
    augment: Callable[..., jax.Array] | None = None
    adapt: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    pack: int = 1


def gan(
    generator: Network,
    discriminator: Network,
    *,
    loss: Head,
    latent_dim: int,
    latent: str = "normal",
    penalties: Mapping[str, Penalty] | None = None,
    generator_penalties: Mapping[str, Penalty] | None = None,
    inputs: Inputs = Inputs(),
    top_k: bool = False,
    num_classes: int = 0,
) -> Objective:
    """Play an adversarial game between two networks.

    Args:
        generator: latents `[B, latent_dim]` (and labels `[B]`, if conditional) to examples.
        discriminator: examples (and labels) to logits `[B]`, high on data; `[B, A]` for a distributional critic.
        loss: the pair of losses, or a function of the traced `hyper["loss_index"]` that gives one
            (`adversarial.switch(names)`).
        latent_dim: dimension of the latent space.
        latent: "normal" for N(0, I), "uniform" for U[-1, 1], as in the DCGAN paper, "zero" for a generator of one
            point.
        penalties: name -> penalty on the discriminator, with weight `hyper["<name>_weight"]`.
        generator_penalties: the same for the generator.
        inputs: what stands between examples and the critic.
        top_k: train the generator only on the share `hyper["top_k"]` of its samples that the critic likes best
            (Sinha et al. 2020).
        num_classes: above 0, both networks are given labels: those of the batch, for data and samples alike.

    Returns:
        An objective with the players "discriminator" and "generator", which move in this order. A batch is
        `{"x": [B, ...]}`, with `"label": [B]` if conditional. `sample` takes `labels=None` too; without them the
        classes take turns.

    Raises:
        ValueError: if the options do not fit each other, and while tracing, if networks and batch do not.
    """
    terms = {DISCRIMINATOR: dict(penalties or {}), GENERATOR: dict(generator_penalties or {})}
    draw_latents = look_up("latent distribution", latent, LATENTS)
    _check(terms, inputs, num_classes, latent_dim)

    def conditions(batch):
        if not num_classes:
            return ()
        if "label" not in batch:
            raise ValueError(
                f"batch has no 'label', which a GAN of num_classes={num_classes} needs; it has {sorted(batch)}"
            )
        return (batch["label"],)

    def view(key, examples, probability, hyper):
        noise_key, augment_key = jax.random.split(key)
        if inputs.noise:
            noise = parts.draw(jax.random.normal, noise_key, examples.shape, examples.dtype)
            examples = examples + hyper_value(hyper, "instance_noise") * noise
        if inputs.augment is not None:
            examples = inputs.augment(augment_key, examples, probability)
        return _pack(examples, inputs.pack)

    def init(key, batch):
        generator_key, discriminator_key, latent_key = jax.random.split(key, 3)
        num = num_examples(batch)
        labels = conditions(batch)
        latents = draw_latents(latent_key, (num, latent_dim))
        generator_params, generator_state = generator.init(generator_key, latents, *labels)
        samples, _ = jax.eval_shape(
            lambda *args: generator.apply(*args), generator_params, generator_state, latents, *labels
        )
        if samples.shape != batch["x"].shape:
            raise ValueError(
                f"generator gives examples of shape {samples.shape[1:]}, but the data's are {batch['x'].shape[1:]}"
            )
        discriminator_params, discriminator_state = discriminator.init(
            discriminator_key, _pack(batch["x"], inputs.pack), *labels
        )
        aux = {
            DISCRIMINATOR: discriminator_state,
            GENERATOR: generator_state,
            "penalties": {player: {name: term.init() for name, term in own.items()} for player, own in terms.items()},
        }
        if inputs.adapt is not None:
            aux["augment_probability"] = jnp.zeros(())
        return Variables({DISCRIMINATOR: discriminator_params, GENERATOR: generator_params}, aux)

    def play(player, params, aux, batch, key, hyper):
        """Show both sides to the critic; return the turn and the states that the two networks were left in."""
        latent_key, generator_keys, critic_keys, view_keys, penalty_key = jax.random.split(key, 5)
        generator_key, penalty_generator_key = jax.random.split(generator_keys)
        real_critic_key, fake_critic_key, penalty_critic_key = jax.random.split(critic_keys, 3)
        real_key, fake_key = jax.random.split(view_keys)
        labels = conditions(batch)
        latents = parts.draw(draw_latents, latent_key, (num_examples(batch), latent_dim))

        def run_generator(key, latents):
            return generator.apply(params[GENERATOR], aux[GENERATOR], latents, *labels, train=True, key=key)

        def run_critic(key, state, examples):
            return discriminator.apply(params[DISCRIMINATOR], state, examples, *labels, train=True, key=key)

        samples, generator_state = run_generator(generator_key, latents)
        if player == DISCRIMINATOR:
            samples = jax.lax.stop_gradient(samples)
        probability = aux["augment_probability"] if inputs.adapt else hyper.get("augment_probability", 0.0)
        real = view(real_key, batch["x"], probability, hyper)
        fake = view(fake_key, samples, probability, hyper)
        real_logits, state = run_critic(real_critic_key, aux[DISCRIMINATOR], real)
        fake_logits, state = run_critic(fake_critic_key, state, fake)
        turn = Turn(
            key=penalty_key,
            # Clones: a penalty may call these more than once, and they are one fixed function each, dropout included.
            critic_fn=lambda x: run_critic(jax.random.clone(penalty_critic_key), aux[DISCRIMINATOR], x)[0],
            generator_fn=lambda z: run_generator(jax.random.clone(penalty_generator_key), z)[0],
            latents=latents,
            real=real,
            fake=fake,
            samples=samples,
            real_logits=real_logits,
            fake_logits=fake_logits,
            params=params[player],
            hyper=hyper,
        )
        return turn, {DISCRIMINATOR: state, GENERATOR: generator_state}

    def penalise(player, turn, aux, hyper):
        total = jnp.zeros(())
        metrics = {}
        states = {}
        for index, (name, term) in enumerate(terms[player].items()):
            own = turn._replace(key=jax.random.fold_in(turn.key, index))
            value, states[name] = _evaluate(term, own, aux["penalties"][player][name], hyper)
            total += hyper_value(hyper, f"{name}_weight") * value
            metrics[name] = value
        return total, metrics, {**aux["penalties"], player: states}

    def discriminator_loss(params, aux, batch, key, hyper):
        turn, states = play(DISCRIMINATOR, params, aux, batch, key, hyper)
        adversarial = mean(chosen(loss, hyper).discriminator(turn.real_logits, turn.fake_logits))
        penalty, metrics, memories = penalise(DISCRIMINATOR, turn, aux, hyper)
        # Each network's running statistics follow its own turns.
        aux = {**aux, DISCRIMINATOR: states[DISCRIMINATOR], "penalties": memories}
        if inputs.adapt is not None:
            aux["augment_probability"] = inputs.adapt(aux["augment_probability"], turn.real_logits)
            metrics["augment_probability"] = aux["augment_probability"]
        metrics |= {
            "adversarial": adversarial,
            "real_logits": jnp.mean(turn.real_logits),
            "fake_logits": jnp.mean(turn.fake_logits),
        }
        return adversarial + penalty, (metrics, aux)

    def generator_loss(params, aux, batch, key, hyper):
        turn, states = play(GENERATOR, params, aux, batch, key, hyper)
        values = chosen(loss, hyper).generator(turn.real_logits, turn.fake_logits)
        mask = _best(turn.fake_logits, hyper_value(hyper, "top_k")) if top_k else None
        adversarial = mean(values, mask)
        penalty, metrics, memories = penalise(GENERATOR, turn, aux, hyper)
        metrics |= {"adversarial": adversarial}
        return adversarial + penalty, (metrics, {**aux, GENERATOR: states[GENERATOR], "penalties": memories})

    def sample(params, aux, key, num, labels=None):
        latents = draw_latents(key, (num, latent_dim))
        if num_classes and labels is None:
            labels = jnp.arange(num) % num_classes
        given = (labels,) if num_classes else ()
        return generator.apply(params[GENERATOR], aux[GENERATOR], latents, *given, train=False)[0]

    return Objective(init, {DISCRIMINATOR: discriminator_loss, GENERATOR: generator_loss}, sample)


def _evaluate(term: Penalty, turn: Turn, state: Any, hyper: Hyper) -> tuple[jax.Array, Any]:
    def due():
        values, new = term.apply(turn, state)
        return term.every * mean(values), new

    if term.every == 1:
        return due()
    return jax.lax.cond(hyper["step"] % term.every == 0, due, lambda: (jnp.zeros(()), state))


def _pack(examples: jax.Array, pack: int) -> jax.Array:
    """Join each `pack` examples along the last axis: `[B, ..., C] -> [B / pack, ..., pack * C]`."""
    if pack == 1:
        return examples
    if examples.shape[0] % pack:
        raise ValueError(f"batch has {examples.shape[0]} examples, which packs of {pack} cannot share equally")
    groups = examples.reshape(-1, pack, *examples.shape[1:])
    return jnp.concatenate([groups[:, i] for i in range(pack)], axis=-1)


def _best(logits: jax.Array, share: jax.Array) -> jax.Array:
    """Mark the given share of the samples, at least one, that the critic rates highest."""
    everyones = parts.whole(logits, "top_k")
    num = everyones.shape[0]
    kept = jnp.clip(jnp.ceil(share * num), 1, num).astype(jnp.int32)
    return logits >= jnp.sort(everyones)[num - kept]


def _check(terms: Mapping[str, Mapping[str, Penalty]], inputs: Inputs, num_classes: int, latent_dim: int) -> None:
    check_counts(latent_dim=latent_dim, **{"inputs.pack": inputs.pack})
    if inputs.pack > 1 and num_classes:
        raise ValueError("inputs.pack above 1 joins examples of different classes, so it needs num_classes=0")
    if inputs.adapt is not None and inputs.augment is None:
        raise ValueError("inputs.adapt adapts the probability of inputs.augment, which is not given")
    for player, own in terms.items():
        for name, term in own.items():
            if term.every < 1:
                raise ValueError(f"the {player}'s penalty {name!r} has every={term.every}, which must be at least 1")
