"""How fast is our training step, against PyTorch, and against what the machine can do?

    python -m benchmarks.step_time

Times the step of `training.make_step` with `objectives.gan` and `networks.pair` as a user gets it, against the same
networks, batch, loss and Adam in eager PyTorch with one and two threads, the better of which counts. All are measured
in turn. Says which share of the machine's measured float32 matmul peak the step's own multiplications reach, and how
long a new process takes to its first step, with an empty and with a filled compilation cache.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from benchmarks import _measure
from genloss_jax import networks, objectives, training
from genloss_jax.losses import adversarial

THREADS = (1, 2)
ROOT = Path(__file__).resolve().parents[1]


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
        steps: steps in one measurement.
        widest: the layer whose shape the second matmul peak is measured at.
        target: how many times as fast as PyTorch the step is to be.
    """

    network: networks.NetworkConfig
    shape: tuple[int, ...]
    latent_dim: int
    batch_size: int
    steps_per_dispatch: int
    steps: int
    widest: Layer
    target: float
    learning_rate: float = 2e-4
    b1: float = 0.5
    b2: float = 0.999


def _plane(width: int, batch_size: int, target: float) -> Case:
    network = networks.NetworkConfig("mlp", width, depth=3)
    steps_per_dispatch = training.loop.AUTOMATIC_STEPS
    return Case(
        network, (2,), 2, batch_size, steps_per_dispatch, 6 * steps_per_dispatch, Layer(1, width, width), target
    )


CASES = {
    "plane-128": _plane(128, 256, target=2.5),
    "plane-64": _plane(64, 128, target=6.0),
    "dcgan-32": Case(
        networks.NetworkConfig("dcgan", 64, normalization="batch"),
        (32, 32, 3),
        latent_dim=100,
        batch_size=64,
        steps_per_dispatch=1,
        steps=1,
        widest=Layer(64, 1024, 128),
        target=1.1,
    ),
}


def run(
    cases: dict[str, Case], *, repetitions: int = 15, first_steps: bool = True, peak_size: int = 1024
) -> list[dict[str, Any]]:
    """Measure and print.

    Args:
        cases: name -> case.
        repetitions: measurements of each contestant.
        first_steps: also start new processes and time them to their first step.
        peak_size: size of the square matrices of the machine's matmul peak.

    Returns:
        One row per case and contestant.
    """
    print(f"device: {_measure.device()}; jax {jax.__version__}")
    rows: list[dict[str, Any]] = []
    for name, case in cases.items():
        rows += _steps(name, case, repetitions, peak_size)
        if first_steps:
            rows += _first_steps(name)
    return rows


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


def our_step(case: Case) -> tuple[Any, Any, dict[str, jax.Array]]:
    """Build our step: `(program, state, batches)`, the program jitted with donated state over stacked batches."""
    generator, critic = networks.pair(case.network, shape=case.shape, latent_dim=case.latent_dim)
    objective = objectives.gan(generator, critic, loss=adversarial.get("non_saturating"), latent_dim=case.latent_dim)

    def adam(hyper):
        return optax.adam(hyper["learning_rate"], b1=hyper["b1"], b2=hyper["b2"])

    init, step = training.make_step(objective, {"discriminator": adam, "generator": adam})
    batches = {"x": jnp.asarray(examples(case, case.steps_per_dispatch))}
    hyper = {"learning_rate": case.learning_rate, "b1": case.b1, "b2": case.b2}
    state = jax.jit(init)(jax.random.key(0), {"x": batches["x"][0]}, hyper)

    def several(state, batches):
        # As the loop dispatches: a loop around several steps, none around a single one.
        if case.steps_per_dispatch == 1:
            return step(state, {"x": batches["x"][0]})
        state, metrics = jax.lax.scan(step, state, batches)
        return state, jax.tree.map(lambda leaf: leaf[-1], metrics)

    return jax.jit(several, donate_argnums=0), state, batches


def examples(case: Case, num_batches: int) -> np.ndarray:
    """Draw `[num_batches, B, *shape]` examples in [-1, 1]; their values do not matter here."""
    shape = (num_batches, case.batch_size, *case.shape)
    return np.random.default_rng(0).uniform(-1.0, 1.0, shape).astype(np.float32)


def torch_pair(case: Case):
    """Build PyTorch's generator and critic of a case."""
    from benchmarks import torch_peers

    if case.network.name == "mlp":
        return torch_peers.mlp_pair(case.network.width, case.network.depth, case.latent_dim, *case.shape)
    return torch_peers.dcgan_pair(case.network.width, case.latent_dim, case.shape[-1], case.shape[0])


def _steps(name: str, case: Case, repetitions: int, peak_size: int) -> list[dict[str, Any]]:
    program, state, batches = our_step(case)
    num_params = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    xla_flops = _xla_flops(case._replace(steps_per_dispatch=1))
    m, k, n = case.widest.positions * case.batch_size, case.widest.inputs, case.widest.outputs
    contestants = {
        "ours": _ours(program, state, batches, case),
        **_theirs(case, num_params),
        "peak": _measure.matmul(peak_size, peak_size, peak_size),
        "layer": _measure.matmul(m, k, n, length=16 if case.steps_per_dispatch > 1 else 1),
    }
    seconds = _measure.interleave(contestants, repetitions)
    peak, layer = (1e-9 / float(np.median(seconds.pop(which))) for which in ("peak", "layer"))
    flops = matmul_flops(case)
    print(
        f"\n{name}: {num_params:,} parameters, {flops / 1e6:.1f} MFLOP of matmul a step ({xla_flops / 1e6:.1f} of all"
        f" kinds by XLA)\n  matmul, GFLOP/s: {peak:.1f} at {peak_size}^3, {layer:.1f} at {m}x{k}x{n}, the widest layer"
    )
    return [_row(name, case, who, seconds, flops, peak, layer, repetitions) for who in seconds]


def _row(name, case, who, seconds, flops, peak, layer, repetitions) -> dict[str, Any]:
    median = float(np.median(seconds[who]))
    achieved = flops / median / 1e9
    row = {
        "case": name,
        "who": who,
        "what": "step",
        "median_ms": f"{1e3 * median:.4g}",
        "fastest_ms": f"{1e3 * float(seconds[who].min()):.4g}",
        "matmul_gflops": f"{achieved:.4g}",
        "share_of_peak": f"{achieved / peak:.3f}",
        "share_of_layer_peak": f"{achieved / layer:.3f}",
        "repetitions": repetitions,
        "device": _measure.device(),
        "jax": jax.__version__,
    }
    line = (
        f"  {who:14} {row['median_ms']:>8} ms a step   {achieved:6.1f} GFLOP/s = {100 * achieved / peak:4.1f} % of peak,"
        f" {100 * achieved / layer:4.1f} % of the layer's"
    )
    torch = {rival: times for rival, times in seconds.items() if rival in [f"torch-{n}" for n in THREADS]}
    if who == "ours" and torch:
        best = min(torch, key=lambda rival: float(np.median(torch[rival])))
        ratio = _measure.ratio_of_medians(torch[best], seconds[who])
        row |= {
            "times_as_fast": f"{ratio.value:.3f}",
            "times_as_fast_low": f"{ratio.low:.3f}",
            "times_as_fast_high": f"{ratio.high:.3f}",
            "as": best,
            "target": case.target,
        }
        line += f"   {ratio} x as fast as {best}; target {case.target}: {_verdict(ratio.value >= case.target)}"
    print(line, flush=True)
    return row


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def _ours(program, state, batches, case) -> _measure.Contestant:
    box = [state]

    def call():
        for _ in range(case.steps // case.steps_per_dispatch):
            box[0], metrics = program(box[0], batches)
        jax.block_until_ready((box[0], metrics))

    return _measure.Contestant(call, case.steps)


def _theirs(case: Case, num_params: int) -> dict[str, _measure.Contestant]:
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: no ratio is measured")
        return {}
    from benchmarks import torch_peers

    real = torch.tensor(np.moveaxis(examples(case, 1)[0], -1, 1))
    contestants = {}
    # The fused Adam is not PyTorch's default. It is shown beside, and does not count as the peer.
    for suffix, fused in (("", False), ("-fused", True)):
        for threads in THREADS:
            generator, critic = torch_pair(case)
            theirs = torch_peers.num_params(generator, critic)
            if theirs != num_params:
                raise RuntimeError(f"the networks differ: {num_params} parameters of ours, {theirs} of PyTorch's")
            step = torch_peers.gan_step(
                generator,
                critic,
                latent_dim=case.latent_dim,
                learning_rate=case.learning_rate,
                betas=(case.b1, case.b2),
                fused=fused,
            )

            def call(step=step):
                for _ in range(case.steps):
                    step(real)

            def prepare(step=step, threads=threads):
                # The first step after a change of threads starts them.
                torch.set_num_threads(threads)
                step(real)

            contestants[f"torch-{threads}{suffix}"] = _measure.Contestant(call, case.steps, prepare)
    return contestants


def _xla_flops(case: Case) -> float:
    program, state, batches = our_step(case)
    analysis = program.lower(state, batches).compile().cost_analysis()
    return float(analysis["flops"]) if analysis and "flops" in analysis else float("nan")


def first_step(name: str) -> None:
    """Take the first step of a case and print how long its parts took, as JSON. For a process of its own."""
    start = time.perf_counter()
    program, state, batches = our_step(CASES[name])
    jax.block_until_ready(state)
    built = time.perf_counter()
    compiled = program.lower(state, batches).compile()
    done = time.perf_counter()
    jax.block_until_ready(compiled(state, batches))
    end = time.perf_counter()
    print(json.dumps({"init": built - start, "compile": done - built, "first_dispatch": end - done}))


def _first_steps(name: str) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        environment = {
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        }
        program = f"from benchmarks import step_time; step_time.first_step({name!r})"
        for who in ("ours, empty cache", "ours, filled cache"):
            start = time.perf_counter()
            result = subprocess.run(
                [sys.executable, "-c", program],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            total = time.perf_counter() - start
            parts = json.loads(result.stdout.splitlines()[-1])
            print(
                f"  {who:18} {total:5.1f} s from process start to first step: {total - sum(parts.values()):.1f} imports,"
                f" {parts['init']:.1f} init, {parts['compile']:.1f} compiling the step,"
                f" {parts['first_dispatch']:.2f} running it",
                flush=True,
            )
            row = {"case": name, "who": who, "what": "first step", "seconds": f"{total:.2f}"}
            row |= {f"{part}_seconds": f"{value:.2f}" for part, value in parts.items()}
            rows.append(row | {"device": _measure.device(), "jax": jax.__version__})
    return rows


def main() -> None:
    """Measure what the flags say and write the table."""
    values = flags.FLAGS
    chosen = {name: CASES[name] for name in values.cases}
    rows = run(chosen, repetitions=values.repetitions, first_steps=values.first_steps)
    _measure.write_table(values.output, rows)
    print(values.output)


if __name__ == "__main__":
    from experiments import command

    flags.DEFINE_multi_enum("cases", list(CASES), list(CASES), "Which cases to measure; give it several times.")
    flags.DEFINE_integer("repetitions", 15, "Measurements of each contestant, in turn; one more warms up.", 1)
    flags.DEFINE_bool("first_steps", True, "Also time new processes to their first step.")
    flags.DEFINE_string("output", "benchmarks/results/step_time.csv", "Path of the table.")
    command.start(main)
