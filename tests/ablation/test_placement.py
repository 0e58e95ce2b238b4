"""How chunks are placed: all work side by side is done, and the measured choice is of the fastest cut."""

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
