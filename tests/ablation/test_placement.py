"""How chunks are placed: all work side by side is done, and the size of chunks is the one that was fastest."""

import pytest

from genloss_jax.ablation import engine, placement
from tests.ablation.test_engine import groups_of


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_work_side_by_side_is_all_done_and_handed_on(num_threads):
    def count(first):
        return lambda: iter(range(first, first + 3))

    found = list(placement.side_by_side([count(10), count(20), count(30), count(40)], num_threads))
    assert sorted(found) == [first + i for first in (10, 20, 30, 40) for i in range(3)]
    for first in (10, 20, 30, 40):
        assert [item for item in found if first <= item < first + 10] == [first, first + 1, first + 2]


@pytest.mark.parametrize("num_threads", [1, 2])
def test_an_error_side_by_side_is_raised_and_the_rest_ends(num_threads):
    def broken():
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(placement.side_by_side([broken, lambda: iter(range(3))], num_threads))
    ended = []

    def endless():
        try:
            while True:
                yield 0
        finally:
            ended.append(True)

    stops = placement.side_by_side([endless], num_threads)
    next(stops)
    stops.close()
    assert ended == [True]


@pytest.fixture(scope="module")
def group():
    return groups_of({"loss": ("hinge", "minimax"), "seed": tuple(range(6))})[0]


@pytest.mark.parametrize(("fastest", "threads"), [(1, 1), (3, 1), (6, 2)])
def test_the_fastest_size_is_chosen(group, monkeypatch, fastest, threads):
    tried = []

    def seconds(group, parts, threads):
        tried.append(parts)
        return 1.0 + 0.01 * abs(parts.size - fastest)

    monkeypatch.setattr(placement, "member_step_seconds", seconds)
    chosen = placement.choose_chunk(group, threads)
    assert engine.cut(group, chosen["chunk"]).size == fastest
    assert tried == [engine.cut(group, int(size)) for size in chosen["seconds_per_member_step"]]
    assert len(set(tried)) == len(tried)


def test_sizes_that_fall_behind_are_given_up(group, monkeypatch):
    monkeypatch.setattr(placement, "member_step_seconds", lambda group, parts, threads: float(parts.size))
    assert len(placement.choose_chunk(group)["seconds_per_member_step"]) == 2


def test_each_process_gets_a_chunk(group, monkeypatch):
    monkeypatch.setattr(placement.jax, "process_count", lambda: 3)
    monkeypatch.setattr(placement, "member_step_seconds", lambda group, parts, threads: 1.0 / parts.size)
    assert "2" in placement.choose_chunk(group, 2)["seconds_per_member_step"]


@pytest.mark.parametrize(
    ("threads", "processes", "rounds"), [(1, 1, 4), (2, 1, 2), (3, 1, 2), (4, 1, 1), (8, 1, 1), (1, 2, 2), (2, 2, 1)]
)
def test_a_cut_takes_as_many_rounds_as_its_chunks_need(group, monkeypatch, threads, processes, rounds):
    class Dispatch:
        length = 5

        def __init__(self, group, parts, chunks):
            assert len(chunks) == min(threads, 4)

        def __call__(self):
            clock.append(clock[-1] + 0.6)

    clock = [0.0]
    monkeypatch.setattr(placement, "Dispatch", Dispatch)
    monkeypatch.setattr(placement.jax, "process_count", lambda: processes)
    monkeypatch.setattr(placement.time, "perf_counter", lambda: clock[-1])
    seconds = placement.member_step_seconds(group, engine.cut(group, 3), threads)
    assert seconds == pytest.approx(rounds * 0.6 / (5 * 12))


def test_a_dispatch_moves_each_of_its_chunks(group):
    parts = engine.cut(group, 3)
    dispatch = placement.Dispatch(group, parts, parts.chunks[:2])
    dispatch()
    dispatch()
    assert [int(states.step[0]) for states, _, _ in dispatch._runs] == [2 * dispatch.length] * 2
