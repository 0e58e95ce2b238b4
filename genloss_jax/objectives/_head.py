"""The head of a game: a pair of losses, or several of which a traced scalar chooses."""

from collections.abc import Callable

import jax

from genloss_jax.losses.adversarial import AdversarialLoss
from genloss_jax.objectives.objective import Hyper, hyper_value

Head = AdversarialLoss | Callable[[jax.Array], AdversarialLoss]
"""The pair of losses, or a function of `hyper["loss_index"]` that gives one (`adversarial.switch(names)`)."""


def chosen(head: Head, hyper: Hyper) -> AdversarialLoss:
    """Give the pair of losses to play with."""
    return head if isinstance(head, AdversarialLoss) else head(hyper_value(hyper, "loss_index"))
