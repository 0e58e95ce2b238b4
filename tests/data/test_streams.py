"""Streams: endless, shuffled, reproducible, shared between processes without overlap or loss, resumed bit for bit."""

import json

import jax
import numpy as np
import pytest

from genloss_jax import data
from genloss_jax.data.photos import CropSource


def counted(size):
    """Give a source whose examples are their own indices."""
    return data.ArraySource({"x": np.arange(size, dtype=np.float32)[:, None], "label": np.arange(size, dtype=np.int32)})


class SlowSource(data.ArraySource):
    """A source that is read by threads."""

    slow = True


@pytest.fixture(params=["device", "stored", "threads"])
def source(request, load):
    """Give one source of each kind."""
    if request.param == "device":
        return load("ring").train
    arrays = {"x": np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)}
    return data.ArraySource(arrays) if request.param == "stored" else SlowSource(arrays)


def assert_same(left, right):
    """Assert that two batches are equal bit for bit."""
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_read_stacks_batches(source):
    batches = data.stream(source, batch_size=5, seed=0).read(4)
    assert batches["x"].shape[:2] == (4, 5)
    assert batches["x"].dtype == np.float32


def test_reading_four_equals_reading_one_four_times(source):
    together, apart = data.stream(source, batch_size=5, seed=0), data.stream(source, batch_size=5, seed=0)
    four = together.read(4)
    for index in range(4):
        assert_same(jax.tree.map(lambda leaf, index=index: leaf[index : index + 1], four), apart.read(1))


def test_state_restores_the_position_bit_for_bit_through_json(source):
    stream = data.stream(source, batch_size=7, seed=11)
    stream.read(3)
    state = json.loads(json.dumps(stream.get_state()))
    expected = [stream.read(2) for _ in range(4)]
    stream.set_state(state)
    assert_same([stream.read(2) for _ in range(4)], expected)
    fresh = data.stream(source, batch_size=7, seed=11)
    fresh.set_state(state)
    assert_same([fresh.read(2) for _ in range(4)], expected)


def test_seed_changes_the_stream_and_repeats_it(source):
    first, again, other = (data.stream(source, batch_size=8, seed=seed).read(1)["x"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_state_of_another_stream_is_refused_by_name(source):
    state = data.stream(source, batch_size=7, seed=1).get_state()
    with pytest.raises(ValueError, match="batch_size=7, this stream has batch_size=8"):
        data.stream(source, batch_size=8, seed=1).set_state(state)
    with pytest.raises(ValueError, match="seed=1, this stream has seed=2"):
        data.stream(source, batch_size=7, seed=2).set_state(state)


def test_every_epoch_is_another_permutation_of_all_examples():
    size, batch_size = 30, 7
    labels = data.stream(counted(size), batch_size=batch_size, seed=5).read(30)["label"].ravel()
    epochs = labels[: 7 * size].reshape(7, size)
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 7


def test_a_batch_larger_than_the_source_runs_over_several_epochs():
    labels = data.stream(counted(3), batch_size=10, seed=0).read(3)["label"].ravel()
    assert np.bincount(labels).tolist() == [10, 10, 10]


@pytest.mark.parametrize("num_processes", [2, 3])
def test_processes_share_each_epoch_without_overlap_or_loss(num_processes):
    size, batch_size = 30, 12
    shares = np.split(np.arange(batch_size), num_processes)
    parts = [data.stream(counted(size), batch_size=batch_size, seed=9, rows=rows) for rows in shares]
    together = np.concatenate([part.read(30)["label"] for part in parts], axis=1).ravel()
    whole = data.stream(counted(size), batch_size=batch_size, seed=9)
    np.testing.assert_array_equal(together, whole.read(30)["label"].ravel())
    assert sorted(together[:size].tolist()) == list(range(size))
    assert [part.get_state() for part in parts] == [whole.get_state()] * num_processes


@pytest.mark.parametrize("rows", [[0, 1], [7, 3, 5], [7, 6, 5, 4, 3, 2, 1, 0]])
def test_rows_are_those_of_the_whole_batch_in_the_order_asked_for(load, rows):
    for source in (load("ring").train, counted(5)):
        whole = data.stream(source, batch_size=8, seed=0).read(2)["x"]
        own = data.stream(source, batch_size=8, seed=0, rows=np.asarray(rows)).read(2)["x"]
        np.testing.assert_array_equal(own, np.asarray(whole)[:, rows])


def test_a_device_stream_reads_many_batches_in_one_dispatch(load):
    traced = []
    plain = load("ring").train.sample

    def sample(key, num):
        traced.append(num)
        return plain(key, num)

    stream = data.stream(data.DeviceSource(sample, 10, seed=0), batch_size=16, seed=0)
    for _ in range(5):
        batches = stream.read(8)
    assert isinstance(batches["x"], jax.Array)
    assert batches["x"].shape == (8, 16, 2)
    assert traced == [16]


def test_epoch_reads_every_example_once_in_order_and_masks_the_rest():
    batches = list(data.epoch(counted(10), 4))
    assert [batch["x"].shape for batch in batches] == [(4, 1)] * 3
    assert [batch["mask"].tolist() for batch in batches][-1] == [True, True, False, False]
    labels = np.concatenate([batch["label"][batch["mask"]] for batch in batches])
    np.testing.assert_array_equal(labels, np.arange(10))


def test_held_out_points_of_a_sampler_are_fixed_and_not_those_of_training(load):
    dataset = load("ring")
    held_out = np.asarray(dataset.test.arrays()["x"])
    assert held_out.shape == (10_000, 2)
    np.testing.assert_array_equal(held_out[10:20], dataset.test.read(np.arange(10, 20))["x"])
    assert not np.isin(np.asarray(dataset.train.arrays(10)["x"]), held_out).any()
    with pytest.raises(IndexError, match="10000"):
        dataset.test.read(np.asarray([10_000]))


def test_arrays_gives_the_first_examples_or_all():
    assert counted(10).arrays()["label"].tolist() == list(range(10))
    assert counted(10).arrays(3)["label"].tolist() == [0, 1, 2]
    assert counted(10).arrays(99)["label"].tolist() == list(range(10))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"seed": -1}, "seed must lie in"),
        ({"rows": np.asarray([0, 2])}, r"rows must name examples of a batch, from 0 to 1, got \[0, 2\]"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        data.stream(counted(4), **({"batch_size": 2, "seed": 0} | options))


def test_arrays_that_disagree_are_refused():
    with pytest.raises(ValueError, match="first axis"):
        data.ArraySource({"x": np.zeros((3, 2)), "label": np.zeros(2)})


def test_crops_are_where_they_should_be():
    picture = np.arange(2 * 6 * 7 * 3, dtype=np.float32).reshape(2, 6, 7, 3)
    crops = CropSource(picture, 4, 100, seed=0).arrays()["x"]
    assert crops.shape == (2 * 3 * 4, 4, 4, 3)  # every place once
    expected = {picture[p, r : r + 4, c : c + 4].tobytes() for p in range(2) for r in range(3) for c in range(4)}
    assert {np.ascontiguousarray(crop).tobytes() for crop in crops} == expected
