"""Adversarial games on finitely many symbols, solved on paper or by SciPy. p is the data, q the model, all float64."""

from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

POSITIONS = np.array([0.0, 1.0, 3.0, 4.5])  # of the symbols on a line, for Wasserstein's metric
REAL_ANCHOR = np.array([0.1, 0.2, 0.3, 0.4])
SMOOTH_LABEL = 0.9
ALPHA = 2.0
BEGAN_BALANCE = 0.5
OFFSET = 0.7  # of the critics that are optimal up to a constant


class Game(NamedTuple):
    """An optimal critic, one row per symbol, and both players' losses there."""

    critic: np.ndarray
    discriminator: float
    generator: float


def kl(p, q):
    return float(np.sum(special.rel_entr(p, q)))


def jensen_shannon(p, q):
    return 0.5 * kl(p, 0.5 * (p + q)) + 0.5 * kl(q, 0.5 * (p + q))


def paired_jensen_shannon(p, q):
    """JSD(p⊗q, q⊗p)."""
    return jensen_shannon(np.outer(p, q).ravel(), np.outer(q, p).ravel())


def total_variation(p, q):
    return 0.5 * float(np.abs(p - q).sum())


def le_cam(p, q):
    """Triangular discrimination, which is Pearson's χ²(2q ‖ p + q)."""
    return float(np.sum((p - q) ** 2 / (p + q)))


def wasserstein(p, q):
    return stats.wasserstein_distance(POSITIONS, POSITIONS, p, q)


def bhattacharyya(p, q):
    return float(np.sum(np.sqrt(p * q)))


def arimoto(p, q, alpha=ALPHA):
    return alpha / (alpha - 1) * (float(np.sum((p**alpha + q**alpha) ** (1 / alpha))) - 2)


# D_f(p ‖ q) = Σ q f(p/q), in Nowozin's normalisation; beside it the logit at which the bound is tight.
F_DIVERGENCES = {
    "kl": (lambda u: u * np.log(u), lambda u: 1 + np.log(u)),
    "reverse_kl": (lambda u: -np.log(u), np.log),
    "jensen_shannon": (lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2), np.log),
    "gan": (lambda u: u * np.log(u) - (u + 1) * np.log(u + 1), np.log),
    "pearson": (lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1)),
    "neyman": (lambda u: (1 - u) ** 2 / u, lambda u: 2 * np.log(u)),
    "squared_hellinger": (lambda u: (np.sqrt(u) - 1) ** 2, lambda u: 0.5 * np.log(u)),
    "jeffreys": (lambda u: (u - 1) * np.log(u), np.log),
    "total_variation": (lambda u: 0.5 * (u - 1) * np.sign(np.real(u) - 1), lambda u: 30 * np.sign(u - 1)),
}


def f_divergence(p, q, name):
    return float(np.sum(q * F_DIVERGENCES[name][0](p / q)))


def _f_game(p, q, name):
    f, critic = F_DIVERGENCES[name]
    slope = np.imag(f(p / q + 1e-30j)) / 1e-30  # f'(p/q) by a complex step
    value = f_divergence(p, q, name)
    # Fenchel: D_f = E_p[f'] - E_q[f*(f')], so the generator's -E_q[f*] is the rest.
    return Game(critic(p / q), -value, value - float(p @ slope))


class Margins(NamedTuple):
    """A convex game Σ_i weight_i φ(form_i · t) over tables t, decreasing in each margin."""

    weights: np.ndarray
    forms: np.ndarray


def margins(p, q, kind):
    """The margins of a relativistic loss in expectation, every example or every pair with its probability."""
    one = np.eye(len(p))
    if kind in ("paired", "all_pairs"):
        return Margins(np.outer(p, q).ravel(), (one[:, None] - one[None, :]).reshape(-1, len(p)))
    real_center, fake_center = {"average": (q, p), "centered": (0.5 * (p + q), 0.5 * (p + q))}[kind]
    return Margins(np.concatenate([p, q]), np.concatenate([one - real_center, fake_center - one]))


def _logistic_margin_critic(game):
    """Newton's method; the constant direction is free, hence the pseudo-inverse."""
    table = np.zeros(game.forms.shape[1])
    for _ in range(50):
        doubt = special.expit(-game.forms @ table)
        gradient = -game.forms.T @ (game.weights * doubt)
        hessian = game.forms.T @ ((game.weights * doubt * (1 - doubt))[:, None] * game.forms)
        table = table - np.linalg.pinv(hessian, rcond=1e-10) @ gradient
    return table


def _hinge_margin_critic(game):
    """A linear program over the table and one slack per margin."""
    rows, symbols = game.forms.shape
    cost = np.concatenate([np.zeros(symbols), game.weights])
    bounds = [(-10, 10)] * symbols + [(0, None)] * rows
    # slack >= 1 - form · t
    return optimize.linprog(cost, A_ub=np.hstack([-game.forms, -np.eye(rows)]), b_ub=-np.ones(rows), bounds=bounds).x[
        :symbols
    ]


def _relativistic_game(p, q, kind, base):
    game, discrimination = margins(p, q, kind), le_cam(p, q)
    pairs = kind in ("paired", "all_pairs")
    if base == "logistic":
        shape = lambda x: np.logaddexp(0, -x)  # noqa: E731
        critic = np.log(p / q) + OFFSET if pairs else _logistic_margin_critic(game)
        value = np.log(2) - paired_jensen_shannon(p, q) if pairs else game.weights @ shape(game.forms @ critic)
    elif base == "hinge":
        shape = lambda x: np.maximum(1 - x, 0)  # noqa: E731
        critic = _hinge_margin_critic(game)
        value = game.weights @ shape(game.forms @ critic)
    else:
        shape = lambda x: 0.5 * (1 - x) ** 2  # noqa: E731
        scale, value = {
            "paired": (2 / (2 + discrimination), 0.5 - discrimination / (2 + discrimination)),
            "all_pairs": (2 / (2 + discrimination), 0.5 - discrimination / (2 + discrimination)),
            "average": (4 / (2 + 3 * discrimination), (2 - discrimination) / (2 + 3 * discrimination)),
            "centered": (1.0, 1 - discrimination / 2),
        }[kind]
        critic = scale * (p - q) / (p + q) + OFFSET
    return Game(critic, float(value), float(game.weights @ shape(-game.forms @ critic)))


def _realness_game(p, q):
    real, fake = REAL_ANCHOR, REAL_ANCHOR[::-1]
    share = p / (p + q)
    mixture = share[:, None] * real + (1 - share)[:, None] * fake
    information = stats.entropy(mixture, axis=1) - share * stats.entropy(real) - (1 - share) * stats.entropy(fake)
    generator = sum(
        w * (stats.entropy(real, row) - stats.entropy(fake, row)) for w, row in zip(q, mixture, strict=True)
    )
    return Game(np.log(mixture) + OFFSET, float((p + q) @ information), float(generator))


def solve(name, p, q, batch):
    """The game of a named loss; `batch` is the number of examples per side, for the losses that grow with it."""
    middle, discrimination, ratio = 0.5 * (p + q), le_cam(p, q), p / q
    wins, contrast = np.sign(p - q), (p - q) / (p + q)
    logistic = np.log(4) - 2 * jensen_shannon(p, q)
    if name.startswith("f_gan_"):
        return _f_game(p, q, name.removeprefix("f_gan_"))
    if name.startswith("relativistic_"):
        words = name.removeprefix("relativistic_")
        kind = next(kind for kind in ("paired", "average", "centered", "all_pairs") if words.startswith(kind))
        return _relativistic_game(p, q, kind, words.removeprefix(kind).strip("_") or "logistic")
    if name == "minimax":
        return Game(np.log(ratio), logistic, kl(q, middle) - np.log(2))
    if name == "non_saturating":
        return Game(np.log(ratio), logistic, kl(q, p) - kl(q, middle) + np.log(2))
    if name == "boundary_seeking":
        return Game(np.log(ratio), logistic, 0.5 * float(q @ np.log(ratio) ** 2))
    if name == "label_smoothed":
        belief = SMOOTH_LABEL * p / (p + q)
        value = -np.sum(SMOOTH_LABEL * p * np.log(belief) + ((1 - SMOOTH_LABEL) * p + q) * np.log1p(-belief))
        return Game(special.logit(belief), float(value), -float(q @ np.log(belief)))
    if name == "least_squares":
        return Game(p / (p + q), 0.25 - discrimination / 8, 0.5 * float(q @ (q / (p + q)) ** 2))
    if name == "least_squares_pearson":
        return Game(contrast, 1 - discrimination / 2, 0.5 * float(q @ contrast**2))
    if name == "wasserstein":
        slopes = np.sign(np.cumsum(q) - np.cumsum(p))[:-1]
        critic = np.concatenate([[0.0], np.cumsum(slopes * np.diff(POSITIONS))])
        return Game(critic, -wasserstein(p, q), -float(q @ critic))
    if name == "hinge":
        return Game(wins, 2 - 2 * total_variation(p, q), -float(q @ wins))
    if name == "multi_hinge":
        critic = np.stack([0.5 * wins, -0.5 * wins], -1)
        return Game(critic, 2 - 2 * total_variation(p, q), 2 * float(q[q > p].sum()))
    if name == "alpha_gan":
        doubt = q**ALPHA / (p**ALPHA + q**ALPHA)
        generator = -float(q @ (ALPHA / (ALPHA - 1) * (1 - doubt ** (1 - 1 / ALPHA))))
        return Game(ALPHA * np.log(ratio), -arimoto(p, q), generator)
    if name == "kl_wasserstein":
        return Game(np.log(ratio) + OFFSET, -kl(p, q), -OFFSET)
    if name == "cumulant":
        affinity = np.log(bhattacharyya(p, q))
        return Game(np.log(ratio) + OFFSET, 4 * affinity, -2 * affinity - OFFSET)
    if name == "softmax":
        level = np.log(2 * batch)
        return Game(np.log(p / (p + q)) + OFFSET, level - kl(p, middle), level + kl(middle, p))
    if name == "dual_contrastive":
        value = float(p @ np.log1p(batch / ratio) + q @ np.log1p(batch * ratio))
        return Game(np.log(ratio) + OFFSET, value, -value)
    if name == "quadratic_potential":
        shrink = 2 / (2 + discrimination)
        return Game(shrink * contrast + OFFSET, -shrink * discrimination / 2, shrink * discrimination)
    if name == "energy_based":
        return Game(-(q > p).astype(float), 1 - total_variation(p, q), float(q[q > p].sum()))
    if name == "began":
        pushed = BEGAN_BALANCE * q > p
        return Game(-pushed.astype(float), -float((BEGAN_BALANCE * q - p)[pushed].sum()), float(q[pushed].sum()))
    if name == "realness":
        return _realness_game(p, q)
    raise KeyError(name)


# What the generator's gradient at the fixed optimal critic is the gradient of, as a function of q.
DESCENDED = {
    "minimax": lambda p, q: 2 * jensen_shannon(p, q),
    "non_saturating": lambda p, q: 2 * kl(0.5 * (p + q), p),
    "label_smoothed": lambda p, q: 2 * kl(0.5 * (p + q), p),
    "least_squares": lambda p, q: kl(p, 0.5 * (p + q)) - le_cam(p, q) / 8,
    "wasserstein": wasserstein,
    "hinge": lambda p, q: 2 * total_variation(p, q),
    "multi_hinge": lambda p, q: 2 * total_variation(p, q),
    "alpha_gan": arimoto,
    "kl_wasserstein": kl,
    "cumulant": lambda p, q: -4 * np.log(bhattacharyya(p, q)),
    "energy_based": total_variation,
    "began": lambda p, q: float(np.maximum(BEGAN_BALANCE * q - p, 0).sum()) / BEGAN_BALANCE,
    **{f"f_gan_{name}": lambda p, q, name=name: f_divergence(p, q, name) for name in F_DIVERGENCES},
}

# A divergence that the generator descends without its gradient being the divergence's own.
DESCENDED_IN_DIRECTION = {
    **{
        f"relativistic_{kind}{base}": divergence
        for kind in ("paired", "average", "centered", "all_pairs")
        for base, divergence in (
            ("", paired_jensen_shannon),
            ("_hinge", total_variation),
            ("_least_squares", le_cam),
        )
    },
    "dual_contrastive": lambda p, q: kl(p, q) + kl(q, p),
    "quadratic_potential": le_cam,
    "realness": jensen_shannon,
}


def pull(divergence, p, q, step=1e-6):
    """Derivatives of a divergence in q, moving mass from symbol 0 to each of the others."""
    moves = np.eye(len(q))[1:] - np.eye(len(q))[0]
    return np.array([(divergence(p, q + step * m) - divergence(p, q - step * m)) / (2 * step) for m in moves])


def crammer_singer_risk(weights):
    """Least Σ_y weight_y relu(1 - s_y + max_{k≠y} s_k) over scores s, as a linear program."""
    classes = len(weights)
    cost = np.concatenate([np.zeros(classes), weights])
    rows = []
    for y in range(classes):
        for k in range(classes):
            if k != y:  # slack_y >= 1 - s_y + s_k
                row = np.zeros(2 * classes)
                row[y], row[k], row[classes + y] = -1, 1, -1
                rows.append(row)
    bounds = [(-10, 10)] * classes + [(0, None)] * classes
    solution = optimize.linprog(cost, A_ub=np.array(rows), b_ub=-np.ones(len(rows)), bounds=bounds)
    return solution.x[:classes], float(solution.fun)
