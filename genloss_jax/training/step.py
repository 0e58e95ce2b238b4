"""The training step: one for every family, with one player or several."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from genloss_jax import _parts as parts
from genloss_jax.objectives.objective import Batch, Hyper, Metrics, Objective, hyper_value, num_examples

PLAYS = ("alternating", "simultaneous", "extragradient")
# The moving average starts young: after t steps it forgets as fast as an average over about t / 9 of them.
EMA_RAMP_UP = 10.0


class TrainState(NamedTuple):
    """Everything that a run is, as arrays: save it and nothing is lost.

    Attributes:
        step: int32 scalar, steps taken.
        params: player -> parameters.
        opt_state: player -> optimiser state.
        aux: the objective's own state.
        hyper: name -> traced scalar, as given to `init`.
        key: the run's one random key. It never changes; a step uses `fold_in(key, step)`.
        ema: player -> moving average of its parameters, for the players in `Schedule.averaged`.
    """

    step: jax.Array
    params: dict[str, Any]
    opt_state: dict[str, Any]
    aux: Any
    hyper: dict[str, jax.Array]
    key: jax.Array
    ema: dict[str, Any]


class Schedule(NamedTuple):
    """Who moves when.

    Attributes:
        moves: player -> moves per step, 1 where not named (critic steps). The batch of a step is cut into as many
            equal parts as the busiest player has moves, and move i sees part i.
        play: "alternating" (each player answers the others' newest parameters, in the order of
            `Objective.losses`), "simultaneous" (all move from the same point), or "extragradient" (all look one
            simultaneous step ahead, then move from where they stood with the gradients found there: Korpelevich 1976;
            with Adam it is Gidel et al. 2019, algorithm 4).
        hyper: `(hyper, step) -> hyper`, what the traced scalars are at a step: learning-rate decay, annealed weights.
        averaged: players whose parameters are averaged, at the rate `hyper["ema_decay"]` after a ramp-up.
        skip_nonfinite: leave all players, averages and `aux` as they were where any loss or gradient of the step is
            not finite; the metric `skipped` says so.
    """

    moves: Mapping[str, int] = {}
    play: str = "alternating"
    hyper: Callable[[Hyper, jax.Array], Hyper] = lambda hyper, step: hyper
    averaged: tuple[str, ...] = ()
    skip_nonfinite: bool = False


Optimizers = Mapping[str, Callable[[Hyper], optax.GradientTransformation]]


def make_step(
    objective: Objective, optimizers: Optimizers, schedule: Schedule = Schedule(), *, micro_batches: int = 1
) -> tuple[Callable[..., TrainState], Callable[..., tuple[TrainState, Metrics]]]:
    """Build the two pure functions that train any objective.

    Nothing is jitted here. `jax.jit(step, donate_argnums=0)` runs one member; `jax.vmap(step)` a hundred. Where the
    batch is one of several equal parts along a bound axis "data", as under `jax.pmap`, the step is that of the whole
    batch, and the same in all parts (`training.parallel`).

    Args:
        objective: the family.
        optimizers: player -> `hyper -> optax.GradientTransformation`. Called inside the trace with the scalars of the
            step, so that learning rates and betas are traced and may follow `schedule.hyper`.
        schedule: who moves when.
        micro_batches: equal pieces in which the examples of a move go through the networks, one after another, so that
            activations need the memory of one piece; gradients and metrics are averaged. The move is that of the whole
            batch, draws included. Losses that see all examples at once (batch normalisation, relativistic averages,
            ...) raise while tracing.

    Returns:
        `init(key, batch, hyper) -> TrainState` and `step(state, batch) -> (state, metrics)`. The metrics are called
        `player/quantity`, each player's being those of its last move; `player/loss` and `player/grad_norm` are
        always among them.

    Raises:
        ValueError: if players, optimisers and schedule do not fit each other, or `micro_batches` is below 1.
    """
    players = tuple(objective.losses)
    moves = {player: int(schedule.moves.get(player, 1)) for player in players}
    _check(players, moves, optimizers, schedule)
    if micro_batches < 1:
        raise ValueError(f"micro_batches must be at least 1, got {micro_batches}")
    num_parts = max(moves.values())

    def hyper_at(hyper, step):
        return {**schedule.hyper(hyper, step), "step": step}

    def init(key: jax.Array, batch: Batch, hyper: Hyper) -> TrainState:
        init_key, run_key = jax.random.split(key)
        params, aux = objective.init(init_key, batch)
        if set(params) != set(players):
            raise ValueError(
                f"objective.init gave parameters of {sorted(params)}, but its losses are of {list(players)}"
            )
        step = jnp.zeros((), jnp.int32)
        hyper = {name: _as_traced(value) for name, value in hyper.items()}
        now = hyper_at(hyper, step)
        opt_state = {player: optimizers[player](now).init(params[player]) for player in players}
        # A copy: averages and parameters must not share a buffer that the caller donates.
        ema = jax.tree.map(jnp.copy, {player: params[player] for player in schedule.averaged})
        return TrainState(step, dict(params), opt_state, aux, hyper, run_key, ema)

    def gradient(player, params, aux, batch, key, hyper):
        def loss(own, batch, key):
            return objective.losses[player]({**params, player: own}, aux, batch, key, hyper)

        def differentiate(batch, key):
            (value, (metrics, moved)), grads = jax.value_and_grad(loss, has_aux=True)(params[player], batch, key)
            return (value, metrics, grads), moved

        if micro_batches > 1:
            found, moved = _accumulated(differentiate, batch, key, micro_batches)
        else:
            found, moved = differentiate(batch, key)
        value, metrics, grads = parts.average(found)
        metrics = {**metrics, "loss": value, "grad_norm": optax.tree.norm(grads)}
        return grads, moved, {f"{player}/{name}": metric for name, metric in metrics.items()}

    def update(player, grads, params, opt_state, hyper):
        updates, own_state = optimizers[player](hyper).update(grads, opt_state[player], params[player])
        own = optax.apply_updates(params[player], updates)
        return {**params, player: own}, {**opt_state, player: own_state}

    def alternate(params, opt_state, aux, shares, key, hyper):
        metrics: Metrics = {}
        for index, player in enumerate(players):
            # Unrolled: there are few moves, and a convolution inside a loop of XLA's CPU backend is many times slower.
            for move in range(moves[player]):
                move_key = jax.random.fold_in(key, index * num_parts + move)
                grads, aux, own = gradient(player, params, aux, shares[move], move_key, hyper)
                params, opt_state = update(player, grads, params, opt_state, hyper)
                metrics |= own
        return params, opt_state, aux, metrics

    def gradients(params, aux, batch, key, hyper):
        metrics: Metrics = {}
        grads = {}
        for index, player in enumerate(players):
            grads[player], aux, own = gradient(player, params, aux, batch, jax.random.fold_in(key, index), hyper)
            metrics |= own
        return grads, aux, metrics

    def update_all(grads, params, opt_state, hyper):
        for player in players:
            params, opt_state = update(player, grads[player], params, opt_state, hyper)
        return params, opt_state

    def together(params, opt_state, aux, shares, key, hyper):
        metrics: Metrics = {}
        for move, share in enumerate(shares):
            move_key = jax.random.fold_in(key, move)
            ahead = params
            if schedule.play == "extragradient":
                # The look-ahead is a probe on the same examples and draws: it leaves no trace in aux.
                probe, _, _ = gradients(params, aux, share, move_key, hyper)
                ahead, opt_state = update_all(probe, params, opt_state, hyper)
            grads, aux, metrics = gradients(ahead, aux, share, move_key, hyper)
            params, opt_state = update_all(grads, params, opt_state, hyper)
        return params, opt_state, aux, metrics

    play = alternate if schedule.play == "alternating" else together

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        hyper = hyper_at(state.hyper, state.step)
        key = jax.random.fold_in(state.key, state.step)
        params, opt_state, aux, metrics = play(
            state.params, state.opt_state, state.aux, _split(batch, num_parts), key, hyper
        )
        ema = state.ema
        if schedule.averaged:
            decay = _ema_decay(hyper_value(hyper, "ema_decay"), state.step)
            new = {player: params[player] for player in schedule.averaged}
            ema = jax.tree.map(lambda average, value: decay * average + (1.0 - decay) * value, ema, new)
        moved = (params, opt_state, aux, ema)
        if schedule.skip_nonfinite:
            stayed = (state.params, state.opt_state, state.aux, state.ema)
            finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(value)) for value in metrics.values()]))
            moved = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, stayed)
            metrics["skipped"] = 1.0 - finite.astype(jnp.float32)
        params, opt_state, aux, ema = moved
        return TrainState(state.step + 1, params, opt_state, aux, state.hyper, state.key, ema), metrics

    return init, step


def sampling_params(state: TrainState) -> dict[str, Any]:
    """Take the parameters to sample and evaluate with: the averages where there are any."""
    return {**state.params, **state.ema}


def _ema_decay(decay: jax.Array, step: jax.Array) -> jax.Array:
    # decay_t = min(decay, (1 + t) / (10 + t))
    return jnp.minimum(decay, (1.0 + step) / (EMA_RAMP_UP + step))


def _accumulated(
    differentiate: Callable[[Batch, jax.Array], tuple[Any, Any]], batch: Batch, key: jax.Array, num: int
) -> tuple[Any, Any]:
    """Average what the pieces of a batch give; aux, which no piece may change by its examples, is the last one's."""
    _check_shares(batch, num, "micro-batches (parallel.micro_batches)")

    def of_piece(given):
        index, examples = given
        with parts.piece(index, num):
            # A clone: all pieces draw with one key, each its own numbers.
            return differentiate(examples, jax.random.clone(key))

    def add(carry, given):
        total, _ = carry
        found, moved = of_piece(given)
        return (jax.tree.map(jnp.add, total, found), moved), None

    pieces = (jnp.arange(num), parts.pieces(batch, num))
    shapes = jax.eval_shape(of_piece, jax.tree.map(lambda leaf: leaf[0], pieces))
    (total, moved), _ = jax.lax.scan(add, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes), pieces)
    return jax.tree.map(lambda leaf: leaf / num, total), moved


def _as_traced(value: Any) -> jax.Array:
    value = jnp.asarray(value)
    return value.astype(jnp.float32) if jnp.issubdtype(value.dtype, jnp.floating) else value


def _split(batch: Batch, num_parts: int) -> list[Batch]:
    _check_shares(batch, num_parts, "moves per step")
    return parts.split(batch, num_parts)


def _check_shares(batch: Batch, num: int, what: str) -> None:
    size = num_examples(batch)
    if size % num:
        raise ValueError(
            f"batch has {size} examples, which {num} {what} cannot share equally; give a multiple of {num}"
        )


def _check(players, moves, optimizers, schedule):
    if set(optimizers) != set(players):
        raise ValueError(
            f"optimizers are given for {sorted(optimizers)}, but the objective's players are {list(players)}"
        )
    for field, names in (("moves", schedule.moves), ("averaged", schedule.averaged)):
        unknown = sorted(set(names) - set(players))
        if unknown:
            raise ValueError(f"schedule.{field} names {unknown}, but the objective's players are {list(players)}")
    if min(moves.values()) < 1:
        raise ValueError(f"schedule.moves must be at least 1 for each player, got {moves}")
    if schedule.play not in PLAYS:
        raise ValueError(f"schedule.play must be one of {PLAYS}, got {schedule.play!r}")
    if schedule.play != "alternating" and len(set(moves.values())) > 1:
        raise ValueError(f"schedule.play={schedule.play!r} needs equal moves for all players, got {moves}")
