"""The page docs/stability.md: what the eigenvalues of the Dirac-GAN say about every loss and penalty."""

from collections.abc import Callable
from functools import partial

import numpy as np

from genloss_jax.ablation.stability._analysis import KINDS, NOT_DIFFERENTIABLE, Stability, analyse
from genloss_jax.ablation.stability._game import NUM_EXAMPLES, PenaltyFn, level
from genloss_jax.ablation.stability._picture import NUM_STEPS, RATE, r1
from genloss_jax.ablation.tables import Row, Table, rounded
from genloss_jax.losses import adversarial, penalties

COMMAND = "python -m genloss_jax.ablation.stability --out=docs"
_GAMMA = 0.3
_GAMMAS = (0.0, 0.3, 1.0, 3.0)


def _without_key(penalty: Callable) -> PenaltyFn:
    return lambda critic_fn, key, real, fake: penalty(critic_fn, real, fake)


# Penalty -> a function of (critic_fn, key, real, fake).
PENALTIES: dict[str, PenaltyFn] = {
    "r1": r1,
    "r2": _without_key(lambda critic_fn, real, fake: penalties.r2_penalty(critic_fn, fake)),
    "roth": _without_key(penalties.roth_penalty),
    "zero_centered": penalties.zero_centered_penalty,
    "max_gradient": penalties.max_gradient_penalty,
    "wgan_gp, centre 0": partial(penalties.wgan_gp_penalty, center=0.0),
    "wgan_gp, centre 1": penalties.wgan_gp_penalty,
    "dragan, centre 1": lambda critic_fn, key, real, fake: penalties.dragan_penalty(critic_fn, key, real),
    "wgan_lp, centre 1": penalties.wgan_lp_penalty,
    "wgan_div, sixth power": penalties.wgan_div_penalty,
}

_PAGE = """# Why GANs are unstable

Written by `{command}`; do not edit.

The smallest GAN shows it exactly ([Mescheder et al. 2018](https://arxiv.org/abs/1801.04406)). Data are the point 0, the
generator makes the point θ, the critic is D(x) = ψ x + b. At θ = ψ = 0 neither can gain. Around it a loss is two
numbers: how steeply the critic's loss rises with the logit of a generated example, d, and how steeply the generator's
falls with it, g. Who follows the gradients moves by

```
dθ/dt = g ψ          the generator goes where the critic points
dψ/dt = -d θ - κ ψ   the critic points away from the generator; a penalty flattens it
```

with eigenvalues λ = -κ/2 ± √(κ²/4 - d g). **Without a penalty κ = 0, and they are imaginary, ±i ω with ω = √(d g):
the players circle for ever.** That is so for {num_rotations} of the {num_losses} losses below. For the others,
{undecided},
an eigenvalue is zero, because the generator's loss is flat where both sides are alike. No choice of the loss makes the
real parts negative: it sets how fast the players turn, ω from {slowest} to {fastest}. What damps them is a penalty on
the critic's gradient *at* the equilibrium, or play that looks ahead.

![Phase portraits of the Dirac-GAN](stability.png)

Grey is the field of the losses; in colour are paths of our own training step from (1, 1), {num_steps} steps of size
{rate}, alternating where nothing else is said. `minimax` turns at ω = {omega}, and `non_saturating` has the same
eigenvalues. It is not zero-sum, and spirals in from afar by itself, ever slower as it comes near.

## How one plays

A step of size h multiplies a small distance in the end by the spectral radius of its Jacobian: above 1 the players
leave, below 1 they arrive. With `minimax` and h = {rate}:

{plays}

Simultaneous steps follow the tangent of a circle and leave it, by √(1 + h² ω²) each; alternating steps keep to it;
extragradient steps look ahead and spiral in, slowly. R1 damps all three, simultaneous steps only if κ > h ω²: a loss
that turns fast needs more damping or smaller steps, as the table of losses shows where a radius stays above 1.

## How much to damp

R1's γ is κ. Up to γ = 2 ω more of it damps faster; there the players no longer circle, and beyond it the generator
creeps behind a critic that is held flat. With `minimax`:

{gammas}

## Which penalty damps

A penalty counts by its curvature at ψ = 0. Those of centre 1 have a kink there and push the critic away from 0: the
players never come to rest, however small the step (last panel above). Those that are flat at 0 do not touch the
circling near the equilibrium. Weight {gamma}, with the losses `minimax` and `wasserstein`:

{penalties}

## Every loss

b is the level at which the critic holds examples that it cannot tell apart; the critical γ is R1's where circling ends.
Spectral radii are of simultaneous, alternating and extragradient steps of {rate}. A batch has {num_examples} examples,
which only `dual_contrastive` notices.

{losses}

What the kinds say of players near the equilibrium:

{kinds}

## What this does not say

The game is linear networks on a point: real critics have many more directions, in each of which the same can happen,
and data with a spread damp the critic by themselves (`data.games.two_gaussians`). The statement is local: far away a
loss may saturate, or a hinge go silent. Train it yourself, with any loss:

```bash
python -m experiments.train --config=configs/dirac.py --workdir=runs/dirac --config.schedule.play=simultaneous
```
"""


def page() -> str:
    """Write the page, its numbers computed anew."""
    free = {name: analyse(adversarial.get(name), rate=RATE) for name in adversarial.names()}
    undecided = [name for name, found in free.items() if found.kind == "undecided"]
    speeds = [_speed(found) for found in free.values() if found.kind == "rotation"]
    return _PAGE.format(
        command=COMMAND,
        rate=RATE,
        num_steps=NUM_STEPS,
        gamma=_GAMMA,
        num_examples=NUM_EXAMPLES,
        num_losses=len(free),
        num_rotations=len(speeds),
        undecided=", ".join(f"`{name}`" for name in undecided),
        slowest=rounded(min(speeds)),
        fastest=rounded(max(speeds)),
        omega=rounded(_speed(free["minimax"])),
        plays=_plays().markdown(),
        gammas=_gammas().markdown(),
        penalties=_penalties().markdown(),
        losses=_losses(free).markdown(),
        kinds="\n".join(f"- {kind}: {meaning}" for kind, meaning in KINDS.items()),
    )


def _with_r1(gamma: float) -> Stability:
    return analyse(adversarial.get("minimax"), r1 if gamma else None, weight=gamma, rate=RATE)


def _plays() -> Table:
    without, damped = _with_r1(0.0), _with_r1(_GAMMA)
    rows = [_row(play, _radius(radius), _radius(_known(damped)[play])) for play, radius in _known(without).items()]
    return Table("plays", ("play", "no penalty", f"R1, γ = {_GAMMA}"), tuple(rows))


def _gammas() -> Table:
    rows = []
    for gamma in _GAMMAS:
        found = _with_r1(gamma)
        rows.append(_row(rounded(gamma), eigenvalues(found), found.kind, *map(_radius, _known(found).values())))
    return Table("gammas", ("γ", "eigenvalues", "kind", *_PLAY_NAMES), tuple(rows))


def _penalties() -> Table:
    rows = []
    for name, penalty in PENALTIES.items():
        found = [analyse(adversarial.get(loss), penalty, weight=_GAMMA) for loss in ("minimax", "wasserstein")]
        rows.append(_row(f"`{name}`", *(text for one in found for text in (eigenvalues(one), one.kind))))
    header = ("penalty", "`minimax`", "kind", "`wasserstein`", "kind")
    return Table("penalties", header, tuple(rows))


def _losses(free: dict[str, Stability]) -> Table:
    rows = []
    for name, without in free.items():
        loss = adversarial.get(name)
        damped = analyse(loss, r1, weight=_GAMMA, rate=RATE)
        rotates = without.kind == "rotation"
        cells = [
            rounded(round(level(loss), 4)),
            eigenvalues(without),
            without.kind,
            rounded(2.0 * _speed(without)) if rotates else "",
            _radii(without),
            eigenvalues(damped),
            _radii(damped),
        ]
        rows.append(_row(f"`{name}`", *cells))
    with_r1 = f"R1, γ = {_GAMMA}"
    header = ("loss", "b", "eigenvalues", "kind", "critical γ", "radii", f"eigenvalues, {with_r1}", f"radii, {with_r1}")
    return Table("losses", header, tuple(rows))


_PLAY_NAMES = ("simultaneous", "alternating", "extragradient")


def eigenvalues(found: Stability) -> str:
    """Write a pair of eigenvalues for people: ±0.5i, −0.15 ± 0.477i, −0.134 and −1.87."""
    if found.eigenvalues is None:
        return "none"
    # Eigenvalues that meet are known to the root of the precision only.
    first, second = np.round(found.eigenvalues, 6) + 0.0
    if first.imag:
        real = f"{rounded(second.real)} ± " if second.real else "±"
        return f"{real}{rounded(abs(second.imag))}i"
    if first == second:
        return f"{rounded(first.real)}, twice"
    return f"{rounded(max(first.real, second.real))} and {rounded(min(first.real, second.real))}"


def _speed(found: Stability) -> float:
    assert found.eigenvalues is not None
    return float(np.abs(found.eigenvalues.imag).max())


def _known(found: Stability) -> dict[str, float]:
    assert found.radii is not None
    return dict(found.radii)


def _radius(value: float) -> str:
    return f"{value:.5f}"


def _radii(found: Stability) -> str:
    return NOT_DIFFERENTIABLE if found.radii is None else ", ".join(map(_radius, found.radii.values()))


def _row(label: str, *cells: str) -> Row:
    return Row(label, tuple((cell,) for cell in cells))
