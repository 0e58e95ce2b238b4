"""Does a loss of the catalog cost anything over its formula written inline? It must not: within 2 %.

    python -m benchmarks.loss_overhead

Times the training step of the plane GAN (three hidden layers of 64, batch 128) twice for each loss: once with the
loss and the R1 penalty of the catalog, once with the same formulas written out where they are used. Both are measured
in turn. Beside the times stand the operations of the two optimised programs: where these are equal, kind by kind, the
overhead is nothing, whatever a busy machine makes of the times. Ends with exit code 1 where a loss may cost more than
2 %: the programs differ, and the upper end of the ratio's interval lies above.
"""

import collections
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from benchmarks import _measure
from genloss_jax import networks, objectives, training
from genloss_jax.losses import adversarial, penalties

LIMIT = 1.02
STEPS_PER_DISPATCH = 16
LATENT_DIM = 2
PENALTY_WEIGHT = 1.0


def _inline(discriminator: Callable, generator: Callable) -> adversarial.AdversarialLoss:
    return adversarial.AdversarialLoss(discriminator, generator)


# What somebody without this library writes.
INLINE: dict[str, adversarial.AdversarialLoss] = {
    "non_saturating": _inline(
        lambda real, fake: jax.nn.softplus(-real) + jax.nn.softplus(fake), lambda real, fake: jax.nn.softplus(-fake)
    ),
    "hinge": _inline(lambda real, fake: jax.nn.relu(1.0 - real) + jax.nn.relu(1.0 + fake), lambda real, fake: -fake),
    "wasserstein": _inline(lambda real, fake: fake - real, lambda real, fake: -fake),
    "least_squares": _inline(
        lambda real, fake: 0.5 * (real - 1.0) ** 2 + 0.5 * fake**2, lambda real, fake: 0.5 * (fake - 1.0) ** 2
    ),
    "relativistic_paired": _inline(
        lambda real, fake: jax.nn.softplus(fake - real), lambda real, fake: jax.nn.softplus(real - fake)
    ),
}


def _inline_r1(turn):
    gradients = jax.grad(lambda points: jnp.sum(turn.critic_fn(points)))(turn.real)
    return 0.5 * jnp.sum(gradients**2, axis=-1)


def run(
    names: Sequence[str] = tuple(INLINE), *, width: int = 64, batch_size: int = 128, repetitions: int = 31
) -> list[dict[str, Any]]:
    """Measure and print.

    Args:
        names: losses, of `INLINE`.
        width: of the networks.
        batch_size: examples per step.
        repetitions: measurements of each contestant.

    Returns:
        One row per loss, without and with R1.
    """
    print(f"device: {_measure.device()}; jax {jax.__version__}")
    rows = []
    for name in names:
        for penalised in (False, True):
            rows.append(_compare(name, penalised, width, batch_size, repetitions))
    return rows


def step_with(
    loss: adversarial.AdversarialLoss, penalty: Callable | None, width: int, batch_size: int
) -> tuple[Any, Any, Any]:
    """Build a training step: `(program, state, batches)`, several steps in one donated program."""
    network = networks.NetworkConfig("mlp", width, depth=3)
    generator, critic = networks.pair(network, shape=(2,), latent_dim=LATENT_DIM)
    terms = {} if penalty is None else {"r1": objectives.stateless(penalty)}
    objective = objectives.gan(generator, critic, loss=loss, latent_dim=LATENT_DIM, penalties=terms)

    def adam(hyper):
        return optax.adam(hyper["learning_rate"], b1=0.0, b2=0.99)

    init, step = training.make_step(objective, {"discriminator": adam, "generator": adam})
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (STEPS_PER_DISPATCH, batch_size, 2)).astype(np.float32)
    batches = {"x": jnp.asarray(points)}
    hyper = {"learning_rate": 1e-4, "r1_weight": PENALTY_WEIGHT}
    state = jax.jit(init)(jax.random.key(0), {"x": batches["x"][0]}, hyper)

    def several(state, batches):
        state, metrics = jax.lax.scan(step, state, batches)
        return state, jax.tree.map(lambda leaf: leaf[-1], metrics)

    return jax.jit(several, donate_argnums=0), state, batches


def operations(compiled: Any) -> collections.Counter[str]:
    """Count the operations of an optimised program by kind."""
    # %name = shape opcode(operands): a shape may be a tuple, whose parentheses follow no word.
    return collections.Counter(re.findall(r"^\s*(?:ROOT )?%?[\w.-]+ = .*?([a-z][\w-]*)\(", compiled.as_text(), re.M))


def _compare(name: str, penalised: bool, width: int, batch_size: int, repetitions: int) -> dict[str, Any]:
    versions = {
        "catalog": (
            adversarial.get(name),
            (lambda turn: penalties.r1_penalty(turn.critic_fn, turn.real)) if penalised else None,
        ),
        "inline": (INLINE[name], _inline_r1 if penalised else None),
    }
    contestants = {}
    counts = {}
    for version, (loss, penalty) in versions.items():
        program, state, batches = step_with(loss, penalty, width, batch_size)
        compiled = program.lower(state, batches).compile()
        counts[version] = operations(compiled)
        contestants[version] = _measure.Contestant(_carried(compiled, state, batches), STEPS_PER_DISPATCH)
    seconds = _measure.interleave(contestants, repetitions)
    ratio = _measure.median_of_ratios(seconds["catalog"], seconds["inline"])
    same = counts["catalog"] == counts["inline"]
    row = {
        "loss": name,
        "penalty": "r1" if penalised else "",
        "catalog_ms": f"{1e3 * float(np.median(seconds['catalog'])):.4g}",
        "inline_ms": f"{1e3 * float(np.median(seconds['inline'])):.4g}",
        "ratio": f"{ratio.value:.4f}",
        "ratio_low": f"{ratio.low:.4f}",
        "ratio_high": f"{ratio.high:.4f}",
        "catalog_operations": counts["catalog"].total(),
        "inline_operations": counts["inline"].total(),
        "same_operations": same,
        "within_limit": same or ratio.high <= LIMIT,
        "repetitions": repetitions,
        "device": _measure.device(),
        "jax": jax.__version__,
    }
    print(
        f"{name:20} {row['penalty']:3} catalog {row['catalog_ms']:>7} ms, inline {row['inline_ms']:>7} ms a step;"
        f" ratio {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}];"
        f" operations {row['catalog_operations']} and {row['inline_operations']}, {'equal' if same else 'DIFFERENT'}",
        flush=True,
    )
    return row


def _carried(program, state, batches):
    box = [state]

    def call():
        box[0], metrics = program(box[0], batches)
        jax.block_until_ready((box[0], metrics))

    return call


def main() -> None:
    """Measure what the flags say and write the table."""
    values = flags.FLAGS
    rows = run(values.losses, repetitions=values.repetitions)
    _measure.write_table(values.output, rows)
    print(values.output)
    if not all(row["within_limit"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    from experiments import command

    flags.DEFINE_multi_enum("losses", list(INLINE), list(INLINE), "Which losses to measure; give it several times.")
    flags.DEFINE_integer("repetitions", 31, "Measurements of each contestant, in turn; one more warms up.", 1)
    flags.DEFINE_string("output", "benchmarks/results/loss_overhead.csv", "Path of the table.")
    command.start(lambda _: main())
