"""What came of the best, the median and the worst seed of each entry, to look at."""

import base64
import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from genloss_jax.ablation.comparison import cost
from genloss_jax.ablation.measured import Measured, members_of
from genloss_jax.ablation.tables import Number, number
from genloss_jax.training import pictures

_MOST_ENTRIES, _MOST_POINTS, _MOST_IMAGES = 16, 200, 16
_MOST_BYTES = 1_000_000  # of all images of a page, before they are compressed
_PLACES = {0: (), 1: ("only seed",), 2: ("best", "worst"), 3: ("best", "median", "worst")}
_SIDE = 120  # of a plane, in units of the drawing


class Thumbnail(NamedTuple):
    """The samples of a member.

    Attributes:
        place: "best", "median" or "worst" among the seeds.
        member: its number.
        seed: its seed.
        value: of the study's metric at the last step.
        path: of points, in a square of 120 units; "" for images.
        image: a data URL; "" for points.
    """

    place: str
    member: int
    seed: int
    value: Number
    path: str
    image: str


class Samples(NamedTuple):
    """A row of thumbnails for each entry, what real data looks like beside them, and what was left out."""

    rows: dict[str, list[Thumbnail]]
    real: Thumbnail
    note: str


def collect(measured: Measured) -> Samples | None:
    """Draw the samples of a study; None where it has none that can be drawn."""
    samples = measured.results.samples
    if not samples or not _drawable(samples["real"]):
        return None
    entries = measured.entries[:_MOST_ENTRIES]
    picked = {str(entry): _picked(measured, entry) for entry in entries}
    num = _num_shown(samples["samples"], sum(map(len, picked.values())) + 1)
    box = _box(samples["real"])
    place_of = {int(member): index for index, member in enumerate(samples["members"])}

    def thumbnail(place, member, seed, value, examples):
        path, image = _drawing(examples[:num], box)
        return Thumbnail(place, member, seed, value, path, image)

    rows = {
        entry: [
            thumbnail(place, member, seed, number(place, value), samples["samples"][place_of[member]])
            for place, member, seed, value in some
        ]
        for entry, some in picked.items()
    }
    real = thumbnail("real data", -1, -1, number("real", np.nan), samples["real"])
    return Samples(rows, real, _note(measured, len(entries), num))


def _picked(measured: Measured, entry) -> list[tuple[str, int, int, float]]:
    """Choose the best, median and worst member of an entry's chosen cell, of those whose samples were kept."""
    table = measured.results.table
    last = table[(table["metric"] == measured.metric) & (table["step"] == table["step"].max())]
    members = members_of(measured, entry).merge(last[["member", "value"]], on="member")
    members = members[members["member"].isin(measured.results.samples["members"])]
    members = members.assign(far=cost(members["value"], measured.direction)).sort_values("far", kind="stable")
    positions = sorted({0, len(members) // 2, len(members) - 1}) if len(members) else []
    found = members.iloc[positions]
    return list(zip(_PLACES[len(found)], found["member"], found["seed"], found["value"], strict=True))


def _drawable(examples: np.ndarray) -> bool:
    shape = examples.shape[1:]
    return shape == (2,) or (len(shape) == 3 and shape[-1] in (1, 3))


def _num_shown(samples: np.ndarray, num_thumbnails: int) -> int:
    """Choose how many samples a thumbnail has room for."""
    if samples.shape[2:] == (2,):
        return min(samples.shape[1], _MOST_POINTS)
    room = _MOST_BYTES // (num_thumbnails * math.prod(samples.shape[2:]))
    return max(1, math.isqrt(min(samples.shape[1], _MOST_IMAGES, room)) ** 2)


def _box(real: np.ndarray) -> tuple[np.ndarray, float]:
    """Give the lower corner and the side of a square around points, with a margin."""
    if real.shape[1:] != (2,):
        return np.zeros(2), 1.0
    low, high = real.min(axis=0), real.max(axis=0)
    side = 1.3 * float((high - low).max()) or 1.0
    return (low + high - side) / 2, side


def _drawing(examples: np.ndarray, box: tuple[np.ndarray, float]) -> tuple[str, str]:
    if examples.shape[1:] != (2,):
        return "", _data_url(pictures.grid(examples))
    corner, side = box
    with np.errstate(invalid="ignore"):
        places = (examples.astype(np.float64) - corner) / side * _SIDE
        inside = (np.isfinite(places) & (places >= 0) & (places <= _SIDE)).all(axis=1)
    # A line of no length with round ends is a dot.
    return "".join(f"M{x:.1f} {_SIDE - y:.1f}h0" for x, y in places[inside]), ""


def _data_url(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _note(measured: Measured, num_entries: int, num: int) -> str:
    there = measured.results.samples["samples"].shape[1]
    notes = []
    if num_entries < len(measured.entries):
        notes.append(f"the {num_entries} best of {len(measured.entries)} entries")
    if num < there:
        notes.append(f"{num} of {there} samples of a member")
    return f"Shown are {' and '.join(notes)}." if notes else ""
