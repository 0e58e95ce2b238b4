"""How fast is our training step, against PyTorch, and against what the machine can do?

    python -m benchmarks.step_time

Times the step of `training.make_step` with `objectives.gan` and `networks.pair` as a user gets it, against the same
networks, batch, loss and Adam in eager PyTorch with one and two threads, the better of which counts. All are measured
in turn. Says which share of the machine's measured float32 matmul peak the step's own multiplications reach, and how
long a new process takes to its first step, with an empty and with a filled compilation cache.
"""

import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from benchmarks import _measure
from benchmarks._cases import CASES as CASES
from benchmarks._cases import Case as Case
from benchmarks._cases import examples as examples
from benchmarks._cases import matmul_flops as matmul_flops
from genloss_jax import networks, objectives, training
from genloss_jax.losses import adversarial

THREADS = (1, 2)
ROOT = Path(__file__).resolve().parents[1]


def run(
    cases: dict[str, Case],
    *,
    repetitions: int = 15,
    first_steps: bool = True,
    peak_size: int = 1024,
    threads: Sequence[int] = THREADS,
) -> list[dict[str, Any]]:
    """Measure and print.

    Args:
        cases: name -> case.
        repetitions: measurements of each contestant.
        first_steps: also start new processes and time them to their first step.
        peak_size: size of the square matrices of the machine's matmul peak.
        threads: of PyTorch; the best of them counts.

    Returns:
        One row per case and contestant.
    """
    print(f"device: {_measure.device()}; jax {jax.__version__}")
    rows: list[dict[str, Any]] = []
    for name, case in cases.items():
        rows += _steps(name, case, repetitions, peak_size, threads)
        if first_steps:
            rows += _first_steps(name)
    return rows


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


def torch_pair(case: Case):
    """Build PyTorch's generator and critic of a case."""
    from benchmarks import torch_peers

    if case.network.name == "mlp":
        return torch_peers.mlp_pair(case.network.width, case.network.depth, case.latent_dim, *case.shape)
    return torch_peers.dcgan_pair(case.network.width, case.latent_dim, case.shape[-1], case.shape[0])


def torch_step(case: Case, num_params: int | None = None, fused: bool = False, loss: str = "non_saturating"):
    """Build PyTorch's step of a case: `(step, real)`, to be called as `step(real)`.

    Raises:
        RuntimeError: if the networks have another number of parameters than `num_params`.
    """
    import torch

    from benchmarks import torch_peers

    generator, critic = torch_pair(case)
    theirs = torch_peers.num_params(generator, critic)
    if num_params is not None and theirs != num_params:
        raise RuntimeError(f"the networks differ: {num_params} parameters of ours, {theirs} of PyTorch's")
    step = torch_peers.gan_step(
        generator,
        critic,
        latent_dim=case.latent_dim,
        learning_rate=case.learning_rate,
        betas=(case.b1, case.b2),
        loss=torch_peers.LOSSES[loss],
        fused=fused,
    )
    return step, torch.tensor(np.moveaxis(examples(case, 1)[0], -1, 1))


def _steps(name: str, case: Case, repetitions: int, peak_size: int, threads: Sequence[int]) -> list[dict[str, Any]]:
    program, state, batches = our_step(case)
    num_params = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    xla_flops = _xla_flops(case._replace(steps_per_dispatch=1))
    m, k, n = case.widest.positions * case.batch_size, case.widest.inputs, case.widest.outputs
    contestants = {
        "ours": _ours(program, state, batches, case),
        **_theirs(case, num_params, threads),
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
        f"  {who:14} {row['median_ms']:>8} ms a step  {achieved:6.1f} GFLOP/s = {100 * achieved / peak:4.1f} % of peak"
        f", {100 * achieved / layer:4.1f} % of the layer's"
    )
    torch = {rival: times for rival, times in seconds.items() if re.fullmatch(r"torch-\d+", rival)}
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
        line += f"   {ratio} x as fast as {best}; target {case.target}: {verdict(ratio.value >= case.target)}"
    print(line, flush=True)
    return row


def verdict(met: bool) -> str:
    """Say whether a target is met."""
    return "met" if met else "MISSED"


def _ours(program, state, batches, case) -> _measure.Contestant:
    box = [state]

    def call():
        box[0], metrics = program(box[0], batches)
        jax.block_until_ready((box[0], metrics))

    return _measure.Contestant(call, case.steps_per_dispatch)


def _theirs(case: Case, num_params: int, threads: Sequence[int]) -> dict[str, _measure.Contestant]:
    if not has_torch():
        return {}
    contestants = {}
    # The fused Adam is not PyTorch's default. It is shown beside, and does not count as the peer.
    for suffix, fused in (("", False), ("-fused", True)):
        for number in threads:
            step, real = torch_step(case, num_params, fused)
            contestants[f"torch-{number}{suffix}"] = with_threads(functools.partial(step, real), number)
    return contestants


def has_torch() -> bool:
    """Tell whether PyTorch is installed, and say so where it is not."""
    found = importlib.util.find_spec("torch") is not None
    if not found:
        print("PyTorch is not installed: no ratio is measured")
    return found


def with_threads(call: Callable[[], object], number: int, units: int = 1) -> _measure.Contestant:
    """Give PyTorch so many threads before a call is measured."""
    import torch

    def prepare():
        # The first step after a change of threads starts them.
        torch.set_num_threads(number)
        call()

    return _measure.Contestant(call, units, prepare)


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
                f"  {who:18} {total:5.1f} s from process start to first step:"
                f" {total - sum(parts.values()):.1f} imports, {parts['init']:.1f} init,"
                f" {parts['compile']:.1f} compiling the step, {parts['first_dispatch']:.2f} running it",
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
    command.start(lambda _: main())
