"""Runs that live in a bucket: `--workdir=gs://bucket/path`.

Checkpoints are written there directly. Records grow line by line, and objects in a bucket do not: they are kept in a
local folder, and what changed is copied to the bucket whole.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

CHECKPOINTS = "checkpoints"
_CONFIG = "config.json"


class Records(NamedTuple):
    """Where the records of a run are written.

    Attributes:
        local: the folder to write to.
        push: copies what changed in it to where the run lives.
    """

    local: Path
    push: Callable[[], None]


def is_address(workdir: str | os.PathLike[str]) -> bool:
    """Tell whether a workdir is the address of a bucket; if not, it is a path."""
    return "://" in os.fspath(workdir)


@contextmanager
def records_of(workdir: str | os.PathLike[str], *, writes: bool = True) -> Iterator[Records]:
    """Open the records of a run; at the end all are where it lives.

    Those of a path are written to it. Those of a bucket are written to a temporary folder, new at each start, which
    begins with what is in the bucket: so the bucket alone says what the run is, on whatever machine it goes on.

    Args:
        workdir: a path, or `gs://bucket/path`.
        writes: whether this process writes records. Of a bucket, one that does not sees config.json and nothing else.

    Raises:
        ValueError: if workdir is the address of something else than a bucket of Google Cloud, or a package is missing.
    """
    if not is_address(workdir):
        yield Records(Path(workdir), lambda: None)
        return
    bucket, root = _open(os.fspath(workdir))
    with tempfile.TemporaryDirectory(prefix="genloss_jax_") as folder:
        copy = _Copy(bucket, root, Path(folder))
        copy.pull(everything=writes)
        records = Records(copy.local, copy.push if writes else lambda: None)
        try:
            yield records
        finally:
            records.push()


def refuse(path: str | os.PathLike[str], *, what: str = "a study", flag: str = "workdir") -> None:
    """Refuse a bucket where a folder is needed.

    Args:
        path: what was given.
        what: needs a folder; for the error.
        flag: by which it was given.

    Raises:
        ValueError: if it is an address.
    """
    if is_address(path):
        raise ValueError(
            f"{what} needs a folder, got --{flag}={path}; mount the bucket, for instance by Cloud Storage FUSE, "
            "and give the path where it is mounted"
        )


class _Copy:
    """A local copy of a folder in a bucket, checkpoints left out."""

    def __init__(self, bucket: Any, root: str, local: Path):
        self._bucket = bucket
        self._root = root
        self._there: dict[str, tuple[int, int]] = {}
        self.local = local

    def pull(self, *, everything: bool) -> None:
        # Listings are kept, and another process may have written since.
        self._bucket.invalidate_cache()
        found = [path.removeprefix(f"{self._root}/") for path in self._bucket.find(self._root)]
        names = [name for name in found if not name.startswith(f"{CHECKPOINTS}/") and (everything or name == _CONFIG)]
        if names:
            self._bucket.get([self._path(name) for name in names], [str(self.local / name) for name in names])
        self._there = self._stamps()

    def push(self) -> None:
        stamps = self._stamps()
        changed = [name for name, stamp in stamps.items() if self._there.get(name) != stamp]
        # Read first: TensorBoard writes from a thread, and a file that grows while it is sent would be refused.
        content = {self._path(name): (self.local / name).read_bytes() for name in changed}
        if content:
            self._bucket.pipe(content)
        gone = [self._path(name) for name in self._there if name not in stamps]
        if gone:
            self._bucket.rm(gone)
        self._there = stamps

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _stamps(self) -> dict[str, tuple[int, int]]:
        paths = [path for path in self.local.rglob("*") if path.is_file()]
        stats = {path.relative_to(self.local).as_posix(): path.stat() for path in paths}
        return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


def _open(address: str) -> tuple[Any, str]:
    if not address.startswith("gs://"):
        raise ValueError(
            f"workdir must be a path or lie in a bucket of Google Cloud, gs://bucket/path, got {address!r}"
        )
    try:
        # Late, for most runs need no bucket. `etils.epath` would go through TensorFlow wherever that is installed.
        import fsspec

        return fsspec.url_to_fs(address.rstrip("/"))
    except ImportError:
        raise ValueError(f'workdir {address} needs a package more: pip install "genloss_jax[gcs]"') from None
