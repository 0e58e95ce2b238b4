"""What a study leaves on disk, and how it is read back.

`table.csv` has one row per member, step and metric; `members.csv` one per member; `study.json` says what was asked;
`samples.npz`, where there is one, holds a few samples of each member.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from genloss_jax.training import records

TABLE, MEMBERS, STUDY, SAMPLES = "table.csv", "members.csv", "study.json", "samples.npz"
SEED = "seed"
"""The axis whose values are repetitions of a setting."""

PathLike = str | os.PathLike[str]
_TEXTS = ("study", "group", "metric", "command", "failed_term")  # never numbers, whatever they look like


class Results(NamedTuple):
    """A study's results.

    Attributes:
        study: what was asked: `name`, `axes` in order, `compare`, `metric`, `directions`, `floors` and more.
        table: columns `study, group, member, <axes>, step, metric, value`, sorted by member, step and metric; `value`
            is NaN from the step on at which a member failed.
        members: columns `member, group, <axes>, command, failed_step, failed_term`; `failed_step` is missing and
            `failed_term` empty where the member is sound.
        samples: `samples` [members, num, ...], `members` and `real`; empty where none were kept.
    """

    study: Mapping[str, Any]
    table: pd.DataFrame
    members: pd.DataFrame
    samples: Mapping[str, np.ndarray]


def load(workdir: PathLike) -> Results:
    """Read what a study left in its directory.

    Args:
        workdir: the directory.

    Returns:
        The results. Axis values are numbers, True or False where they read as such, and text otherwise, "" among it.

    Raises:
        ValueError: if a file or a column is missing.
    """
    workdir = Path(workdir)
    missing = [name for name in (STUDY, TABLE, MEMBERS) if not (workdir / name).exists()]
    if missing:
        raise ValueError(f"workdir {str(workdir)!r} has no {', '.join(missing)}, expected the directory of a study.")
    study = json.loads((workdir / STUDY).read_text())
    axes = list(study["axes"])
    table = read_csv(workdir / TABLE, axes)
    members = read_csv(workdir / MEMBERS, axes)
    _check_columns(TABLE, table, ["study", "group", "member", *axes, "step", "metric", "value"])
    _check_columns(MEMBERS, members, ["member", "group", *axes, "command", "failed_step", "failed_term"])
    return Results(study, table, members, _samples(workdir / SAMPLES))


def save(workdir: PathLike, results: Results) -> None:
    """Write what `load` reads; each file appears whole or not at all.

    Args:
        workdir: the directory.
        results: what to write.
    """
    workdir = Path(workdir)
    write_csv(workdir / TABLE, results.table)
    write_csv(workdir / MEMBERS, results.members)
    records.write_json(workdir / STUDY, results.study)
    if results.samples:
        write_arrays(workdir / SAMPLES, results.samples)


def write_arrays(path: PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays; the file appears whole or not at all."""
    path = Path(path)
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    temporary.replace(path)


def read_csv(path: PathLike, axes: Sequence[str]) -> pd.DataFrame:
    """Read a table of a study.

    Args:
        path: a file that `write_csv` wrote.
        axes: the columns that hold axis values; each value is read by itself, so that one column can hold numbers and
            text.

    Returns:
        The table. Empty fields are text in axes and texts, and missing elsewhere.
    """
    texts = dict.fromkeys((*_TEXTS, *axes), str)
    numbers = {name: [""] for name in ("value", "failed_step")}
    frame = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=numbers, encoding="utf-8")
    for axis in axes:
        if axis in frame:
            values = {text: _parsed(text) for text in frame[axis].unique()}
            frame[axis] = pd.Series([values[text] for text in frame[axis]], frame.index, dtype=object).infer_objects()
    return _whole_steps(frame)


def write_csv(path: PathLike, frame: pd.DataFrame) -> None:
    """Write a table of a study: equal content gives equal bytes, and the file appears whole or not at all.

    Args:
        path: where to; its directory is created where there is none.
        frame: the table, in any order of rows. NaN leaves its field empty.
    """
    order = [name for name in ("member", "step", "metric") if name in frame]
    frame = _whole_steps(frame.infer_objects().sort_values(order, kind="stable"))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    frame.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")
    temporary.replace(path)


def _whole_steps(frame: pd.DataFrame) -> pd.DataFrame:
    # A step is a whole number, also where other members have none.
    return frame.astype({"failed_step": "Int64"}) if "failed_step" in frame else frame


def _parsed(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    try:
        value = json.loads(text)
    except ValueError:
        return text
    # All else that JSON knows is no axis value, and stays what was written: null, true, NaN, lists, quoted text.
    return value if type(value) is int or (type(value) is float and np.isfinite(value)) else text


def _samples(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _check_columns(name: str, frame: pd.DataFrame, expected: Sequence[str]) -> None:
    missing = [column for column in expected if column not in frame]
    if missing:
        raise ValueError(f"{name} has no column {', '.join(missing)}, expected {', '.join(expected)}.")
