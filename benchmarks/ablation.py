"""How fast is a study of many members, against one member after the other, and against PyTorch?

    python -m benchmarks.ablation

The study: 8 losses and 8 seeds of the plane GAN on the ring, all of whose members have the networks, batch and Adam of
`benchmarks/step_time.py`. It is trained by our engine at the chunk that it chooses, by our single step one member after
the other, by eager PyTorch one after the other, and by the `torch.func` ensemble of each loss, PyTorch with the better
of its numbers of threads. All are measured in turn, per member-step. Then: memory and time as members become many, and
what it costs that one program holds all heads of a loss.
"""

import functools
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from benchmarks import _measure, step_time
from benchmarks._cases import CASES, Case
from configs.ablations import base
from experiments import ablate
from genloss_jax import training
from genloss_jax.ablation import engine, grid, placement, planning
from genloss_jax.losses import adversarial

PLANE = ("plane-64", "plane-128")
LOSSES = (
    "minimax",
    "non_saturating",
    "label_smoothed",
    "least_squares",
    "wasserstein",
    "hinge",
    "boundary_seeking",
    "relativistic_paired",
)
SEEDS = 8
# A study's length, over which compiling is spread.
STUDY_STEPS = 5000
# Not more than 5 % slower than one alone; not more than 10 % slower than a program with one head.
ALONE_TARGET, HEAD_LIMIT = 1.0 / 1.05, 1.10
# One head of each kind that shares a program: the generator's loss of the second sees the logits of data.
FIXED_HEADS = ("non_saturating", "relativistic_paired")
MEMBERS = {"cpu": (1, 8, 64, 512), "gpu": (1, 8, 64, 512, 2048, 8192, 16384), "tpu": (1, 8, 64, 512, 2048, 8192, 16384)}
CHOSEN = 0
_MANY = 5  # measurements of many members, which are long


def run(
    cases: dict[str, Case],
    *,
    repetitions: int = 15,
    losses: Sequence[str] = LOSSES,
    seeds: int = SEEDS,
    threads: Sequence[int] = step_time.THREADS,
    heads: Sequence[str] = adversarial.names(),
    members: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Measure and print.

    Args:
        cases: name -> case of plane data.
        repetitions: measurements of each contestant.
        losses: of the study, of `torch_peers.LOSSES`.
        seeds: how many of the study.
        threads: of PyTorch; the best of them counts.
        heads: that share one program; none for not measuring them.
        members: numbers of them, each in a process of its own, of a case in `CASES`; None for the usual of the device.

    Returns:
        One row per case and contestant.
    """
    print(f"device: {_measure.device()}; jax {jax.__version__}")
    members = MEMBERS[jax.default_backend()] if members is None else members
    rows: list[dict[str, Any]] = []
    for name, case in cases.items():
        print(f"\n{name}")
        rows += _study(name, case, repetitions, losses, seeds, threads)
        rows += _heads(name, case, repetitions, heads) if heads else []
        rows += [_many(name, num, chunk, min(repetitions, _MANY)) for num in members for chunk in (CHOSEN, num)]
    return rows


def groups_of(case: Case, losses: Sequence[str], seeds: int, rates: int = 1) -> tuple[planning.Group, ...]:
    """Plan the members of a case on the ring: all losses, seeds and learning rates."""
    settings = base.get_config()
    settings.name, settings.base = "benchmark", "gan_ring"
    settings.overrides = {
        "networks": case.network._asdict(),
        "latent": {"dim": case.latent_dim},
        "data": {"batch_size": case.batch_size},
        "optimizer": {"b1": case.b1, "b2": case.b2},
        # The peers do not average their parameters.
        "players": {"generator": {"averaged": False}},
        "training": {"steps_per_dispatch": case.steps_per_dispatch},
    }
    factors = np.geomspace(0.5, 2.0, rates) if rates > 1 else (1.0,)
    settings.axes = {
        "loss": tuple(losses),
        "learning_rate": tuple(float(case.learning_rate * factor) for factor in factors),
        "seed": tuple(range(seeds)),
    }
    return planning.plan(grid.members(settings.lock(), ablate.loader("")))


def cuts_of(groups: Sequence[planning.Group], chunk: int, threads: int) -> tuple[engine.Cut, ...]:
    """Cut groups into chunks of so many members, or of as many as the engine chooses."""
    sizes = [chunk or placement.choose_chunk(group, threads)["chunk"] for group in groups]
    return tuple(engine.cut(group, size) for group, size in zip(groups, sizes, strict=True))


def together(groups: Sequence[planning.Group], cuts: Sequence[engine.Cut], threads: int) -> _measure.Contestant:
    """Train by the engine: a dispatch of the first chunk of each loss, or of the first mixed ones, side by side."""
    contestants = []
    for group, cut in zip(groups, cuts, strict=True):
        program = engine.Program(group, cut.mixed)
        branches = group.branches
        firsts = {branches[chunk.members[0]]: chunk for chunk in reversed(cut.chunks)}
        others = [chunk for chunk in cut.chunks if chunk not in firsts.values()]
        chunks = [*firsts.values(), *others][: max(threads, len(firsts))]
        contestants += [
            _dispatch(group, cut, chunks[start : start + threads], program) for start in range(0, len(chunks), threads)
        ]
    return _in_turn(contestants)


def _dispatch(group, cut, chunks, program) -> _measure.Contestant:
    dispatch = placement.Dispatch(group, cut, chunks, program)
    num_members = sum(len(chunk.members) for chunk in chunks)
    # A dispatch of hundreds of members takes fewer steps, so that it does not take a minute.
    dispatch.length = math.ceil(dispatch.length * min(1.0, SEEDS * len(LOSSES) / num_members))
    return _measure.Contestant(dispatch, dispatch.length * num_members)


def alone(groups: Sequence[planning.Group]) -> _measure.Contestant:
    """Train by `training.run`, one member of each loss after the other, in dispatches of the same length."""
    contestants = []
    for group in groups:
        firsts = {member.coordinates["loss"]: member for member in reversed(group.members)}
        length = placement.steps_per_dispatch(group)
        for member in firsts.values():
            setup = training.from_config(member.config, group.setup.dataset)
            # An event costs more than a dispatch: it is looked whether all is finite.
            events = training.run(
                setup.step,
                setup.state(member.config.seed),
                setup.stream(member.config.seed),
                total_steps=2**30,
                stop_every={"measurement": 4 * length},
                steps_per_dispatch=length,
                on_nonfinite="ignore",
            )
            contestants.append(_measure.Contestant(functools.partial(next, events), 4 * length))
    return _in_turn(contestants)


def _in_turn(contestants: Sequence[_measure.Contestant]) -> _measure.Contestant:
    """Make one contestant of several: a call of it is a call of each."""

    def call():
        for contestant in contestants:
            contestant.call()

    return _measure.Contestant(call, sum(contestant.units for contestant in contestants))


def torch_alone(case: Case, losses: Sequence[str], threads: int, num_params: int) -> _measure.Contestant:
    """Train by eager PyTorch, one member of each loss after the other."""
    steps = [step_time.torch_step(case, num_params, loss=loss) for loss in losses]
    return step_time.with_threads(lambda: [step(real) for step, real in steps], threads, len(steps))


def torch_together(case: Case, losses: Sequence[str], seeds: int, threads: int) -> _measure.Contestant:
    """Train by `torch.func`: for each loss, an ensemble of all seeds."""
    import torch

    from benchmarks import torch_peers

    real = torch.tensor(step_time.examples(case, seeds))
    steps = [
        torch_peers.ensemble_step(
            [step_time.torch_pair(case) for _ in range(seeds)],
            latent_dim=case.latent_dim,
            learning_rate=case.learning_rate,
            betas=(case.b1, case.b2),
            loss=torch_peers.LOSSES[loss],
        )
        for loss in losses
    ]
    return step_time.with_threads(lambda: [step(real) for step, _ in steps], threads, seeds * len(steps))


def _started(build: Callable[[], _measure.Contestant]) -> tuple[_measure.Contestant, float]:
    """Build a contestant, and tell what its first call costs more than its second: planning, tracing, compiling."""
    began = time.perf_counter()
    contestant = build()
    contestant.prepare()
    contestant.call()
    first = time.perf_counter() - began
    began = time.perf_counter()
    contestant.call()
    return contestant, max(0.0, first - (time.perf_counter() - began))


def _study(name, case, repetitions, losses, seeds, threads) -> list[dict[str, Any]]:
    groups = groups_of(case, losses, seeds)
    num_members = sum(len(group.members) for group in groups)
    side_by_side = placement.num_threads()
    began = time.perf_counter()
    cuts = cuts_of(groups, CHOSEN, side_by_side)
    choosing = time.perf_counter() - began
    builds: dict[str, Callable[[], _measure.Contestant]] = {
        "engine": lambda: together(groups_of(case, losses, seeds), cuts, side_by_side),
        "engine-1": lambda: together(groups, cuts, 1),
        "alone": lambda: alone(groups),
    }
    if step_time.has_torch():
        state, _ = planning.shapes(groups[0])
        num_params = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        for number in threads:
            builds[f"torch-{number}"] = functools.partial(torch_alone, case, losses, number, num_params)
            builds[f"torch-func-{number}"] = functools.partial(torch_together, case, losses, seeds, number)
    started = {who: _started(build) for who, build in builds.items()}
    seconds = _measure.interleave({who: contestant for who, (contestant, _) in started.items()}, repetitions)
    starting = {who: start for who, (_, start) in started.items()}
    starting["engine"] += choosing
    targets = {"alone": ALONE_TARGET, _best("torch", seconds): case.target}
    print(f"  {len(losses)} losses x {seeds} seeds, in chunks of {_sizes(cuts)}, which took {choosing:.1f} s to choose")
    member_steps = num_members * STUDY_STEPS
    rows = []
    for who, times in seconds.items():
        ratio = _measure.ratio_of_medians(times, seconds["engine"])
        median, engine_median = float(np.median(times)), float(np.median(seconds["engine"]))
        whole = (starting[who] + member_steps * median) / (starting["engine"] + member_steps * engine_median)
        row = {
            "case": name,
            "who": who,
            "what": "study",
            "members": num_members,
            **({"chunk": _sizes(cuts)} if who.startswith("engine") else {}),
            **_times(times, repetitions),
            **_ratio(ratio),
            "start_seconds": f"{starting[who]:.2f}",
            "ratio_of_whole_study": f"{whole:.3f}",
        }
        line = f"  {who:14} {row['median_us']:>8} us a member-step, {starting[who]:5.1f} s to start"
        if who != "engine":
            line += f"; the engine is {ratio} x as fast, {whole:.2f} x over {STUDY_STEPS:,} steps with the start"
        if who in targets:
            row["target"] = f"{targets[who]:.3f}"
            line += f"; target {targets[who]:.3g}: {step_time.verdict(ratio.value >= targets[who])}"
        print(line, flush=True)
        rows.append(row)
    return rows


def _sizes(cuts: Sequence[engine.Cut]) -> str:
    return "+".join(dict.fromkeys(str(cut.size) for cut in cuts))


def _best(prefix: str, seconds: dict[str, np.ndarray]) -> str:
    found = [who for who in seconds if who.startswith(prefix + "-") and who.removeprefix(prefix + "-").isdigit()]
    return min(found, key=lambda who: float(np.median(seconds[who])), default="")


def _times(times: np.ndarray, repetitions: int) -> dict[str, Any]:
    return {
        "median_us": f"{1e6 * float(np.median(times)):.4g}",
        "fastest_us": f"{1e6 * float(times.min()):.4g}",
        "repetitions": repetitions,
        "device": _measure.device(),
        "jax": jax.__version__,
    }


def _ratio(ratio: _measure.Interval) -> dict[str, str]:
    names = ("ratio", "ratio_low", "ratio_high")
    return {name: f"{value:.3f}" for name, value in zip(names, ratio, strict=True)}


def _heads(name: str, case: Case, repetitions: int, heads: Sequence[str]) -> list[dict[str, Any]]:
    """Time members of one head, in a program of its own and in one that holds all heads that ask for the same."""
    rows = []
    for fixed in FIXED_HEADS:
        asking = [head for head in heads if adversarial.demand(head) == adversarial.demand(fixed)]
        (group,), (few,), (one,) = (
            groups_of(case, *some) for some in ((asking, SEEDS), (asking, 1), ((fixed,), SEEDS))
        )
        cut, mixed, whole = (engine.cut(some, SEEDS) for some in (group, few, one))
        chunk = next(each for each in cut.chunks if group.members[each.members[0]].coordinates["loss"] == fixed)
        contestants = {
            "fixed": together([one], [whole], 1),
            "uniform": _dispatch(group, cut, [chunk], engine.Program(group, cut.mixed)),
            "mixed": together([few], [mixed], 1),
        }
        seconds = _measure.interleave(contestants, repetitions)
        for how in ("uniform", "mixed"):
            ratio = _measure.median_of_ratios(seconds[how], seconds["fixed"])
            row = {"case": name, "who": how, "what": f"{len(asking)} heads against {fixed} alone", "members": SEEDS}
            rows.append(
                {**row, "chunk": SEEDS, **_times(seconds[how], repetitions), **_ratio(ratio), "target": HEAD_LIMIT}
            )
            print(
                f"  chunks {how + ',':8} {row['what']:45} {ratio} x the time;"
                f" limit {HEAD_LIMIT}: {step_time.verdict(ratio.value <= HEAD_LIMIT)}",
                flush=True,
            )
    return rows


def _many(name: str, num: int, chunk: int, repetitions: int) -> dict[str, Any]:
    """Measure so many members in a process of its own, because memory that was once in use is not given back."""
    program = f"from benchmarks import ablation; ablation.many({name!r}, {num}, {chunk}, {repetitions})"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=step_time.ROOT, capture_output=True, text=True, check=True
    )
    row = json.loads(result.stdout.splitlines()[-1])
    size = f"chunks of {row['chunk']}" + (" (chosen)" if chunk == CHOSEN else "")
    print(
        f"  {num:6} members, {size:22}"
        f" {row['median_us']:>8} us a member-step; memory {row['megabytes_before']} MB, at most {row['megabytes']} MB;"
        f" {row['ratio']} [{row['ratio_low']}, {row['ratio_high']}] x as fast as alone",
        flush=True,
    )
    return row


def many(name: str, num: int, chunk: int, repetitions: int) -> None:
    """Measure memory and time of so many members and print them as JSON. For a process of its own.

    Args:
        name: of a case.
        num: members: first seeds, then losses, then learning rates.
        chunk: members at once; 0 to choose.
        repetitions: measurements of the engine and of the single step.
    """
    seeds = min(SEEDS, num)
    losses = LOSSES[: max(1, min(len(LOSSES), num // seeds))]
    threads = placement.num_threads()
    groups = groups_of(CASES[name], losses, seeds, num // (seeds * len(losses)))
    before = _megabytes()
    cuts = cuts_of(groups, chunk, threads)
    contestant = together(groups, cuts, threads)
    contestant.call()
    most = _megabytes()
    seconds = _measure.interleave({"engine": contestant, "alone": alone(groups)}, repetitions)
    row = {
        "case": name,
        "who": "engine",
        "what": "all at once" if chunk else "many",
        "members": num,
        "chunk": _sizes(cuts),
        **_times(seconds["engine"], repetitions),
        **_ratio(_measure.ratio_of_medians(seconds["alone"], seconds["engine"])),
        "megabytes_before": before,
        "megabytes": most,
    }
    print(json.dumps(row))


def _megabytes() -> int:
    """Give the most memory that was in use so far: the accelerator's, or the process's."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return round(stats["peak_bytes_in_use"] / 1e6)
    # Unlike that of `getrusage`, this peak is not the parent's where that was larger.
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    kilobytes = peaks[0] if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kilobytes * 1024 / 1e6)


def main() -> None:
    """Measure what the flags say and write the table."""
    values = flags.FLAGS
    # What a program costs the first time is part of the question.
    jax.config.update("jax_enable_compilation_cache", False)
    rows = run({name: CASES[name] for name in values.cases}, repetitions=values.repetitions)
    _measure.write_table(values.output, rows)
    print(values.output)


if __name__ == "__main__":
    from experiments import command

    flags.DEFINE_multi_enum("cases", list(PLANE), list(PLANE), "Which cases to measure; give it several times.")
    flags.DEFINE_integer("repetitions", 15, "Measurements of each contestant, in turn; one more warms up.", 1)
    flags.DEFINE_string("output", "benchmarks/results/ablation.csv", "Path of the table.")
    command.start(lambda _: main())
