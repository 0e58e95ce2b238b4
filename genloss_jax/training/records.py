"""What a run leaves behind: numbers, pictures, and the config and versions that made them.

All writers have the same four methods, so that no caller asks which of them it has.
"""

import json
import logging
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from genloss_jax.training.pictures import save_png

_log = logging.getLogger(__name__)
PathLike = str | os.PathLike[str]
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


@runtime_checkable
class Writer(Protocol):
    """Where numbers and pictures go."""

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Write the numbers of a step."""
        ...

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write a picture, uint8 `[height, width, channels]`."""
        ...

    def rewind(self, step: int) -> None:
        """Forget what lies beyond a step: the run goes on from there."""
        ...

    def close(self) -> None:
        """Finish writing."""
        ...


class Null:
    """A writer that writes nothing."""

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Write nothing."""

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write nothing."""

    def rewind(self, step: int) -> None:
        """Have nothing to forget."""

    def close(self) -> None:
        """Have nothing to finish."""


class Many:
    """A writer that hands everything to several."""

    def __init__(self, *writers: Writer):
        self._writers = writers

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Write the numbers of a step to all."""
        for writer in self._writers:
            writer.scalars(step, values)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write a picture to all."""
        for writer in self._writers:
            writer.image(step, name, image)

    def rewind(self, step: int) -> None:
        """Make all forget."""
        for writer in self._writers:
            writer.rewind(step)

    def close(self) -> None:
        """Close all."""
        for writer in self._writers:
            writer.close()


class JsonLines(Null):
    """One JSON object per line: the step and its numbers, keys sorted, floats exact, NaN and infinity as null.

    Two runs that do the same write the same bytes; so no times belong here. Lines beyond `step`, of a run that was
    killed after its last checkpoint, are cut off; and so is a line that was not written to its end.
    """

    def __init__(self, path: PathLike, step: int = 0):
        """Open a file to go on with after `step`."""
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab")
        self.rewind(step)

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Write a line."""
        line = json.dumps(_plain({"step": step, **values}), sort_keys=True, allow_nan=False)
        self._file.write(line.encode() + b"\n")
        # A killed process loses what it had not yet handed to the system.
        self._file.flush()

    def rewind(self, step: int) -> None:
        """Cut the file off after its last line of a step up to `step`."""
        self._file.truncate(_length_up_to(self._path, step))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoard(Null):
    """TensorBoard events, written without TensorFlow."""

    def __init__(self, directory: PathLike, step: int = 0):
        """Open a directory to go on with after `step`."""
        self._directory = os.fspath(directory)
        self._open(step)

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Write those values that are single numbers."""
        for name, value in values.items():
            if np.ndim(value) == 0:
                self._writer.add_scalar(name, float(value), step)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write a picture."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def rewind(self, step: int) -> None:
        """Tell TensorBoard to drop what lies beyond a step."""
        self._writer.close()
        self._open(step)

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _open(self, step: int) -> None:
        # Late, for it brings protobuf with it.
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(self._directory, purge_step=step + 1)


class Images(Null):
    """Pictures as PNG files, `name_00001000.png`."""

    def __init__(self, directory: PathLike, step: int = 0):
        """Open a directory to go on with after `step`."""
        self._directory = Path(directory)
        self.rewind(step)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write a file."""
        save_png(self._directory / f"{name}_{step:08d}.png", image)

    def rewind(self, step: int) -> None:
        """Remove the pictures of later steps."""
        for path in self._directory.glob("*_????????.png"):
            number = path.stem.rpartition("_")[2]
            if number.isdigit() and int(number) > step:
                path.unlink()


_MOST_LISTED = 5  # fields in which two configs differ


class WorkdirError(ValueError):
    """A working directory belongs to another run."""


def describe(
    workdir: PathLike,
    config: Any,
    *,
    growing: Sequence[str] = ("total_steps",),
    write: bool = True,
    known_as: str = "",
) -> None:
    """Write down what a run is: `config.json` and `versions.json`.

    A directory keeps the run that began in it. Only its budget may change: fields called as in `growing` may grow, and
    periods (`*_every_steps`) may be set anew, since neither changes a step that was taken.

    Args:
        workdir: directory of the run, created where there is none.
        config: a `ConfigDict`, or a mapping of what JSON can hold.
        growing: last parts of the names of fields that may grow.
        write: whether to write, or only to compare: of several processes one writes.
        known_as: what errors call the directory, where it stands for another place; empty for its path.

    Raises:
        WorkdirError: if the directory holds a run with another config.
    """
    directory = Path(workdir)
    directory.mkdir(parents=True, exist_ok=True)
    config = _as_mapping(config)
    path = directory / "config.json"
    before = _read_json(path)
    if before is not None:
        changes = differences(before, config)
        other = {name: pair for name, pair in changes.items() if not _is_budget(name, *pair, growing)}
        if other:
            listed = [f"{name}: {there!r} there, {here!r} here" for name, (there, here) in other.items()]
            if len(listed) > _MOST_LISTED:
                listed[_MOST_LISTED:] = [f"and {len(listed) - _MOST_LISTED} more"]
            raise WorkdirError(
                f"workdir {known_as or directory} holds a run with another config ({', '.join(listed)}); "
                "give another workdir, or the same config to go on with that run"
            )
    if not write:
        return
    write_json(path, config)
    now = versions()
    then = _read_json(directory / "versions.json") or now
    for name, (there, here) in differences(then, now).items():
        _log.warning(
            "this run began with %s %s and goes on with %s: results may differ in the last bit", name, there, here
        )
    write_json(directory / "versions.json", now)


def versions() -> dict[str, Any]:
    """Name what computes: Python, packages, the device's kind, and the commit of a checkout."""
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
        "genloss_jax": _own_version(),
        "device": jax.devices()[0].device_kind,
        "num_devices": jax.device_count(),
        "commit": _commit(),
    }


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Compare two nested mappings.

    Returns:
        Dotted name -> (before, after), for the fields that differ; "nothing" stands where there is no such field.
    """
    there, here = flattened(before), flattened(after)
    names = sorted(set(there) | set(here))
    pairs = {name: (there.get(name, "nothing"), here.get(name, "nothing")) for name in names}
    return {name: (a, b) for name, (a, b) in pairs.items() if a != b}


def _is_budget(name: str, before: Any, after: Any, growing: Sequence[str]) -> bool:
    field = name.rpartition(".")[2]
    if field.endswith("_every_steps"):
        return True
    numbers = isinstance(before, (int, float)) and isinstance(after, (int, float))
    return field in growing and numbers and after >= before


def flattened(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give the leaves of a nested mapping under their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _as_mapping(config: Any) -> dict[str, Any]:
    to_json = getattr(config, "to_json_best_effort", None)
    # Through JSON, so that it equals what will be read back: tuples are lists there.
    return json.loads(to_json() if to_json else json.dumps(dict(config)))


def _own_version() -> str | None:
    try:
        return metadata.version("genloss-jax")
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    package = Path(__file__).resolve().parent.parent

    def git(*args: str) -> str:
        return subprocess.run(("git", "-C", package, *args), capture_output=True, text=True, check=True).stdout.strip()

    try:
        # An installed package may lie inside a checkout of something else.
        if Path(git("rev-parse", "--show-toplevel")) != package.parent:
            return None
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _length_up_to(path: Path, step: int) -> int:
    length = 0
    with path.open("rb") as file:
        for line in file:
            try:
                whole = line.endswith(b"\n") and json.loads(line)["step"] <= step
            except (ValueError, KeyError, TypeError):
                whole = False
            if not whole:
                break
            length += len(line)
    return length


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def write_json(path: Path, value: Any) -> None:
    """Write what JSON can hold, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    temporary.replace(path)
