"""From a config's `loss` to the head of a game."""

from genloss_jax._names import OR
from genloss_jax.losses import adversarial
from genloss_jax.objectives._head import Head


def named(names: str) -> tuple[Head, dict[str, float | int]]:
    """Look up a loss, or the switch among several joined by "|".

    Args:
        names: `config.loss`.

    Returns:
        The head, and the traced scalars that it reads.

    Raises:
        ValueError: if a name is unknown, or needs more than logits [batch] and does not stand alone.
    """
    if OR not in names:
        return adversarial.get(names), {}
    choices = names.split(OR)
    switch = adversarial.switch(choices)
    for name in choices:
        if name not in adversarial.names():
            raise ValueError(
                f"config.loss {names!r} joins {name!r} with others by {OR!r}, but it needs more than logits [batch], "
                "and can only stand alone"
            )
    return switch, {"loss_index": 0}
