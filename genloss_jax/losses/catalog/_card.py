"""The form of a catalog card: what a reader must know of a loss before trusting it."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Example(NamedTuple):
    """A small, valid call of a loss, from which the contract tests are generated.

    Attributes:
        call: maps `arrays` to the loss's value; keys, callables and hyperparameters are bound already.
        arrays: float inputs, in the order of the loss's own signature.
        batch_axes: for each array, which axis runs over examples, or None. Empty means the first axis of each.
        names: the argument that each array stands for. Empty means the loss's positional arguments in order, keys and
            functions left out.
        permutes: whether permuting the examples permutes a per-example value (and leaves a scalar unchanged). False
            where each position draws its own noise from a bound key.
    """

    call: Callable[..., Any]
    arrays: tuple[Any, ...]
    batch_axes: tuple[int | None, ...] = ()
    names: tuple[str, ...] = ()
    permutes: bool = True


class LossCard(NamedTuple):
    """One public loss.

    Attributes:
        name: public name within its family's module, as the command line takes it.
        family: the module, such as "adversarial" or "likelihood".
        fn: the function itself, or an `AdversarialLoss`.
        equation: the formula in plain text, with halves and signs.
        unit: "nats", "critic units", "squared critic gradient", ...
        kind: "exact", "upper bound", "lower bound" or "biased estimate", of what `minimised_by` or `equation` names.
        conventions: what people get wrong: the half, the sign, root or square, which side is stop-gradient.
        minimised_by: what is true at the optimum, and the divergence that the game then measures.
        reference: paper, year, equation.
        proof: the test that shows it, as "tests/losses/test_x.py::test_name" or with its parameter in brackets.
        example: draws an `Example` from a key; None for adversarial losses, whose signature is common.
    """

    name: str
    family: str
    fn: Any
    equation: str
    unit: str
    kind: str
    conventions: str
    minimised_by: str
    reference: str
    proof: str
    example: Callable[[Any], Example] | None = None
