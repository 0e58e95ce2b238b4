"""A study from its config to its table: planned, placed, trained chunk by chunk, and written down."""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from genloss_jax import metrics, training
from genloss_jax.ablation import dealing, engine, grid, placement, planning, results
from genloss_jax.ablation.engine import Cut, Program, Stop
from genloss_jax.ablation.grid import Member
from genloss_jax.ablation.planning import Group
from genloss_jax.training import processes, records

CHUNKS, PLACEMENT, TIMING = "chunks", "placement.json", "timing"
# States before and after a step, gradients, optimiser updates and activations, as a multiple of the state.
_COPIES = 4
# What small networks reach of the rate of a large product: 20 to 39 % (benchmarks/results/step_time.csv).
_SHARE_OF_PEAK = 0.25


class Study(NamedTuple):
    """A study, ready to be trained.

    Attributes:
        settings: its config.
        members: all runs.
        groups: the same, by program.
        estimates: what a member of each group asks for.
        evaluators: what is measured of each group.
        metric: by which entries are compared.
    """

    settings: Any
    members: tuple[Member, ...]
    groups: tuple[Group, ...]
    estimates: tuple[planning.Estimate, ...]
    evaluators: tuple[metrics.Evaluator, ...]
    metric: str

    @property
    def axes(self) -> list[str]:
        """Name the axes, in the order of the table's columns."""
        return list(self.members[0].coordinates)

    @property
    def member_steps(self) -> int:
        """Count the steps of all members together."""
        return sum(len(group.members) * group.config.training.total_steps for group in self.groups)


def prepare(settings: Any, load: grid.Load, *, chunk: int = 0) -> Study:
    """Plan a study; nothing of it is compiled yet.

    Args:
        settings: see `configs/ablations/base.py`.
        load: name of a base config -> the config.
        chunk: how many members are to be trained at once, 0 where that is to be measured.

    Raises:
        ValueError: if an axis, a metric or a base does not exist, the grid is empty, or members do not fit memory.
    """
    members = grid.members(settings, load)
    axes = members[0].coordinates
    if settings.compare not in axes:
        raise ValueError(f"study.compare is {settings.compare!r}, which is no axis of the study; it has {list(axes)}")
    groups = planning.plan(members)
    estimates = tuple(planning.estimate(group) for group in groups)
    _check_memory(groups, estimates, chunk)
    evaluators = tuple(training.evaluator(group.setup, group.config) for group in groups)
    metric = settings.metric or evaluators[0].primary
    for group, evaluator in zip(groups, evaluators, strict=True):
        if metric not in evaluator.directions:
            raise ValueError(
                f"study.metric is {metric!r}, which {_name(group)} does not have; it has {list(evaluator.directions)}"
            )
    return Study(settings, members, groups, estimates, evaluators, metric)


def describe(study: Study) -> str:
    """Lay out what a study will do: groups, members, programs, memory, arithmetic, and roughly its time."""
    rows = [("group", "members", "what differs in it", "steps", "MB per member", "Mflop per step")]
    operations = 0.0
    for group, need in zip(study.groups, study.estimates, strict=True):
        operations += len(group.members) * group.config.training.total_steps * need.operations
        rows.append(
            (
                group.name,
                str(len(group.members)),
                _varied(group),
                f"{group.config.training.total_steps:,}",
                f"{need.bytes_per_member * _COPIES / 1e6:.2g}",
                f"{need.operations / 1e6:.3g}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    total = f"{study.settings.name}: {len(study.members)} members, {len(study.groups)} programs to compile, "
    total += f"{study.member_steps:,} member-steps"
    time_needed = training.duration(operations / (_SHARE_OF_PEAK * _peak()))
    hint = f"training takes very roughly {time_needed} here, by its arithmetic; evaluation and compiling come on top"
    return "\n".join([total, *lines, hint])


def _peak() -> float:
    """Measure the operations per second of a large product of matrices."""
    matrix = jnp.ones((1024, 1024))
    product = jax.jit(lambda x: x @ x)
    jax.block_until_ready(product(matrix))
    began = time.perf_counter()
    jax.block_until_ready([product(matrix) for _ in range(4)])
    return 4 * 2 * 1024**3 / (time.perf_counter() - began)


def run(study: Study, workdir: str | os.PathLike[str], *, chunk: int = 0, threads: int = 0) -> Iterator[Stop]:
    """Train a study to its end, from where it was interrupted if it was, and write its results.

    Of several processes (`training.processes`) all must call it, with a workdir that all of them see. Each trains its
    own chunks; the first chooses their size, and writes the results when all are trained. The number of processes may
    be another one whenever the study is gone on with.

    Args:
        study: of `prepare`.
        workdir: directory of the study.
        chunk: how many members are trained at once, 0 to choose by a measurement, which is written down.
        threads: how many chunks each process trains side by side; 0 for as many as a CPU has cores, and one on
            accelerators.

    Yields:
        Stops; one for each chunk that was trained before. Those of other processes are among them, as they are
        recorded.

    Raises:
        ValueError: if the workdir belongs to another study.
    """
    workdir = Path(workdir)
    records.describe(workdir, study.settings, growing=(), write=processes.is_first())
    threads = threads or placement.num_threads()
    placed = _placed(study, workdir, chunk, threads)
    cuts = [_cut(group, placed) for group in study.groups]
    shares = dealing.deal(cuts)
    elsewhere = dealing.Elsewhere(workdir / CHUNKS, study.groups, [share.others for share in shares])
    yield from elsewhere.news()
    for group, evaluator, parts, share in zip(study.groups, study.evaluators, cuts, shares, strict=True):
        train = partial(
            engine.train,
            group,
            Program(group, parts.mixed, engine.mesh_for(group, parts.size)),
            look=engine.looker(group, evaluator, study.settings.num_kept_samples),
            directory=workdir / CHUNKS,
            steps_per_dispatch=placement.steps_per_dispatch(group),
        )
        for stop in placement.side_by_side([partial(train, part) for part in share.own], threads):
            if stop.seconds:
                entry = {"chunk": stop.chunk.name, "step": stop.step, "seconds": round(stop.seconds, 3)}
                _append(workdir / _timing(), entry)
            yield stop
            yield from elsewhere.news()
    yield from elsewhere.rest()
    if processes.is_first():
        collect(study, workdir)
    processes.wait("the results")


def collect(study: Study, workdir: str | os.PathLike[str]) -> results.Results:
    """Write what the chunks recorded as the study's table, members and samples; unfinished ones as far as they are."""
    workdir = Path(workdir)
    placed = json.loads((workdir / PLACEMENT).read_text())
    cuts = [_cut(group, placed) for group in study.groups]
    rows: list[dict[str, Any]] = []
    faults: dict[int, tuple[int, str]] = {}
    for group, evaluator, parts in zip(study.groups, study.evaluators, cuts, strict=True):
        for part in parts.chunks:
            for line in engine.read(workdir / CHUNKS, part):
                rows += _rows(study, group, evaluator, part, line)
                for place, (step, term) in line["faults"].items():
                    if int(place) < len(part.members):
                        faults[group.members[part.members[int(place)]].number] = (step, term)
    found = results.Results(
        _summary(study, workdir, placed, cuts),
        _table(study, rows),
        _members(study, faults),
        _samples(study, workdir, cuts),
    )
    results.save(workdir, found)
    return found


def _placed(study: Study, workdir: Path, chunk: int, threads: int) -> dict[str, Any]:
    """Read how each group is placed; where the study begins, the first process chooses it and writes it down."""
    path = workdir / PLACEMENT
    if processes.is_first() and not path.is_file():
        chosen = {
            group.name: {
                **({"chunk": chunk} if chunk else placement.choose_chunk(group, threads)),
                "devices": jax.local_device_count(),
            }
            for group in study.groups
        }
        records.write_json(path, chosen)
    processes.wait("the placement")
    placed = json.loads(path.read_text())
    if chunk and any(own["chunk"] != chunk for own in placed.values()):
        raise ValueError(f"chunk is {chunk}, but the study in {workdir} began with other chunks; leave --chunk out")
    return placed


def _cut(group: Group, placed: Mapping[str, Any]) -> Cut:
    """Cut a group as the study began, whatever devices there are now."""
    own = placed[group.name]
    return engine.cut(group, own["chunk"], own.get("devices", 1))


def _check_memory(groups: Sequence[Group], estimates: Sequence[planning.Estimate], chunk: int) -> None:
    free = _free_bytes()
    for group, estimate in zip(groups, estimates, strict=True):
        size = min((chunk or 1) * placement.num_threads(), len(group.members))
        if jax.default_backend() != "cpu":
            # The devices of a CPU share its memory.
            size = math.ceil(size / jax.local_device_count())
        need = size * _COPIES * estimate.bytes_per_member
        if need > free:
            remedy = "give a smaller --chunk" if chunk > 1 else "take smaller networks or batches"
            raise ValueError(
                f"chunk: {size} members of {_name(group)} at once need about {need / 1e9:.3g} GB, "
                f"and {free / 1e9:.3g} GB are free; {remedy}"
            )


def _free_bytes() -> float:
    device = jax.local_devices()[0]
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _name(group: Group) -> str:
    first = {name: value for name, value in group.members[0].coordinates.items() if name != grid.SEED}
    return f"group {group.name} (such as {first})"


def _varied(group: Group) -> str:
    """Say which axes differ between the members of a group, and what the others are."""
    words = []
    for axis in group.members[0].coordinates:
        values = list(dict.fromkeys(member.coordinates[axis] for member in group.members))
        words.append(f"{axis}={values[0]}" if len(values) == 1 else f"{len(values)} x {axis}")
    return ", ".join(words)


# --- What is written down ---


def _rows(study, group, evaluator, part, line) -> Iterator[dict[str, Any]]:
    for place, index in enumerate(part.members):
        member = group.members[index]
        for metric in line["values"] or evaluator.directions:
            value = line["values"].get(metric, [None] * len(part.members))[place]
            yield {
                "study": study.settings.name,
                "group": group.name,
                "member": member.number,
                **member.coordinates,
                "step": line["step"],
                "metric": metric,
                "value": np.nan if value is None else value,
            }


def _table(study: Study, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    columns = ["study", "group", "member", *study.axes, "step", "metric", "value"]
    return pd.DataFrame(rows, columns=columns).sort_values(["member", "step", "metric"], ignore_index=True)


def _members(study: Study, faults: Mapping[int, tuple[int, str]]) -> pd.DataFrame:
    groups = {member.number: group.name for group in study.groups for member in group.members}
    rows = [
        {
            "member": member.number,
            "group": groups[member.number],
            **member.coordinates,
            "command": member.command,
            "failed_step": faults[member.number][0] if member.number in faults else None,
            "failed_term": faults[member.number][1] if member.number in faults else "",
        }
        for member in study.members
    ]
    frame = pd.DataFrame(rows)
    frame["failed_step"] = frame["failed_step"].astype("Int64")
    return frame


def _samples(study: Study, workdir: Path, cuts: Sequence[Cut]) -> dict[str, np.ndarray]:
    own: dict[int, np.ndarray] = {}
    for group, parts in zip(study.groups, cuts, strict=True):
        for part in parts.chunks:
            path = workdir / CHUNKS / f"{part.name}.npz"
            if path.is_file():
                with np.load(path) as file:
                    own |= dict(
                        zip((group.members[index].number for index in part.members), file["samples"], strict=True)
                    )
    if not own:
        return {}
    real = study.evaluators[0].held_out[: study.settings.num_kept_samples]
    numbers = sorted(own)
    return {"members": np.asarray(numbers), "samples": np.stack([own[number] for number in numbers]), "real": real}


def _summary(study: Study, workdir: Path, placed: Mapping[str, Any], cuts: Sequence[Cut]) -> dict[str, Any]:
    first = study.groups[0].config
    seconds = _seconds(workdir)
    return {
        "name": study.settings.name,
        "title": study.settings.title,
        "modality": study.settings.modality,
        "axes": study.axes,
        "compare": study.settings.compare,
        "metric": study.metric,
        "directions": {name: value for each in study.evaluators for name, value in each.directions.items()},
        "floors": {name: value for each in study.evaluators for name, value in each.floor.items()},
        "total_steps": max(group.config.training.total_steps for group in study.groups),
        "num_members": len(study.members),
        "num_samples": study.evaluators[0].num_samples,
        "data": first.data.name,
        "device": jax.devices()[0].device_kind,
        "versions": records.versions(),
        "groups": {
            group.name: {
                "members": len(group.members),
                "seconds": round(sum(seconds.get(part.name, 0.0) for part in parts.chunks), 1),
                "mixed": parts.mixed,
                **placed[group.name],
                "chunk": parts.size,
            }
            for group, parts in zip(study.groups, cuts, strict=True)
        },
    }


def _timing() -> str:
    """Name the file of this process: lines of several do not mix."""
    index = jax.process_index()
    return f"{TIMING}_{index}.jsonl" if index else f"{TIMING}.jsonl"


def _seconds(workdir: Path) -> dict[str, float]:
    """Add up the time of each chunk; what was computed twice, because it was interrupted, counts once."""
    found: dict[tuple[str, int], float] = {}
    for path in sorted(workdir.glob(f"{TIMING}*.jsonl")):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            found[entry["chunk"], entry["step"]] = entry["seconds"]
    total: dict[str, float] = {}
    for (chunk, _), seconds in found.items():
        total[chunk] = total.get(chunk, 0.0) + seconds
    return total


def _append(path: Path, entry: Mapping[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")
