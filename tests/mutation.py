"""Flip the sign of every loss, and double it, and see that its proof fails: `python tests/mutation.py [--name hinge]`.

Each card of the catalog names the test that proves its loss. Here each loss is replaced by its negative and by twice
itself, for adversarial losses the discriminator's and the generator's separately, and that test is run. A mutant
survives if the test still passes; it is stillborn if the test stops on anything but a failed assertion, because that
proves nothing about the value. Before and after its mutants each proof must pass on the loss as it is. The exit code
is 0 only if there was nothing of all this.
"""

import argparse
import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from _pytest.runner import runtestprotocol

ROOT = Path(__file__).resolve().parent.parent

MUTATIONS = {"sign flipped": lambda value: -value, "doubled": lambda value: 2 * value}


class Outcome(NamedTuple):
    """What became of one card's mutants."""

    name: str
    mutants: int
    problems: tuple[str, ...]


def mutate(fn: Callable, mutation: Callable, entry: int = 0) -> Callable:
    """Change a function's value, of a tuple one entry."""

    @functools.wraps(fn)
    def mutant(*args, **kwargs):
        value = fn(*args, **kwargs)
        if not isinstance(value, tuple):
            return mutation(value)
        entries = [*value[:entry], mutation(value[entry]), *value[entry + 1 :]]
        return type(value)(*entries) if hasattr(value, "_fields") else tuple(entries)

    return mutant


def mutants_of(card: Any) -> dict[str, Any]:
    """Return what `card.fn` is to be replaced by, each with a description."""
    if card.family != "adversarial":
        losses = _num_losses(card)
        return {
            label if losses == 1 else f"entry {entry} {label}": mutate(card.fn, mutation, entry)
            for entry in range(losses)
            for label, mutation in MUTATIONS.items()
        }
    return {
        f"{player} {label}": card.fn._replace(**{player: mutate(getattr(card.fn, player), mutation)})
        for player in ("discriminator", "generator")
        for label, mutation in MUTATIONS.items()
    }


def _num_losses(card: Any) -> int:
    """Count the losses that one call gives; what its card's example leaves out (state, averages) is none."""
    import jax

    example = card.example(jax.random.key(0))
    return len(jax.tree.leaves(jax.eval_shape(example.call, *example.arrays)))


@contextlib.contextmanager
def replaced(module: Any, original: Any, mutant: Any) -> Iterator[None]:
    """Replace `original` wherever the module or its registry `_LOSSES` names it."""
    with pytest.MonkeyPatch.context() as patch:
        for table in (vars(module), getattr(module, "_LOSSES", {})):
            for name in [name for name, value in table.items() if value is original]:
                patch.setitem(table, name, mutant)
        yield


class Mutator:
    """Takes the place of pytest's loop over tests: collects them once, runs only proofs, each once per mutant."""

    def __init__(self, name: str | None = None):
        self.name = name
        self.outcomes: list[Outcome] = []
        self._error: BaseException | None = None

    def pytest_runtest_makereport(self, item, call):
        """Keep the exception, of which a report has only the text."""
        if call.excinfo is not None:
            self._error = call.excinfo.value

    def pytest_runtestloop(self, session):
        """Try all mutants of all cards, or of one."""
        # Not earlier: the session's conftest must set up JAX first.
        from genloss_jax.losses import catalog

        try:
            cards = catalog.cards() if self.name is None else (catalog.card(self.name),)
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None
        for card in cards:
            start = time.perf_counter()
            outcome = self._try_card(card, session)
            self.outcomes.append(outcome)
            verdict = "; ".join(outcome.problems) or "none survived"
            seconds = time.perf_counter() - start
            print(f"{card.name:42} {outcome.mutants} mutants  {seconds:5.1f} s  {verdict}", file=sys.stderr, flush=True)
        return True

    def _try_card(self, card, session) -> Outcome:
        proofs = [
            item for item in session.items if item.nodeid == card.proof or item.nodeid.startswith(card.proof + "[")
        ]
        if not proofs:
            return Outcome(card.name, 0, (f"its proof {card.proof} was not collected",))
        problems = [f"the proof fails without a mutation: {error!r}"] if (error := self._failure(proofs)) else []
        module = sys.modules[f"genloss_jax.losses.{card.family}"]
        mutants = {} if problems else mutants_of(card)
        for label, mutant in mutants.items():
            with replaced(module, card.fn, mutant):
                error = self._failure(proofs)
            if error is None:
                problems.append(f"{label} survived")
            elif not isinstance(error, AssertionError | pytest.fail.Exception):
                problems.append(f"{label} was stillborn: {error!r}")
        if mutants and (error := self._failure(proofs)):
            problems.append(f"the proof fails after the mutations: {error!r}")
        return Outcome(card.name, len(mutants), tuple(problems))

    def _failure(self, proofs) -> BaseException | None:
        """Run the tests up to the first that fails, and return what it raised."""
        self._error = None
        for item in proofs:
            runtestprotocol(item, nextitem=None, log=False)
            if self._error is not None:
                return self._error
        return None


def run(name: str | None = None) -> list[Outcome]:
    """Try all mutants of all cards, or of one, and return what became of them."""
    mutator = Mutator(name)
    quiet = ["-q", "--no-header", "--no-summary", "-p", "no:cacheprovider", "-p", "no:xdist", "--capture=no"]
    code = pytest.main([*quiet, f"--rootdir={ROOT}", str(ROOT / "tests" / "losses")], plugins=[mutator])
    if not mutator.outcomes:
        sys.exit(f"pytest tried no mutant and ended with {code!r}.")
    return mutator.outcomes


def main() -> int:
    """Try the mutants, print how many survived, and return the exit code."""
    parser = argparse.ArgumentParser(description="Mutate every loss and see that its proof fails.")
    parser.add_argument("--name", help="only this loss")
    outcomes = run(parser.parse_args().name)
    problems = [(outcome.name, problem) for outcome in outcomes for problem in outcome.problems]
    for name, problem in problems:
        print(f"{name}: {problem}")
    survived = sum(problem.endswith("survived") for _, problem in problems)
    print(
        f"{sum(outcome.mutants for outcome in outcomes)} mutants of {len(outcomes)} losses, {survived} survived, "
        f"{len(problems) - survived} other problems."
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
