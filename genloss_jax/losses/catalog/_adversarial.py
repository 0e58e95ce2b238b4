"""Cards of the adversarial losses. In equations r is real_logits, f fake_logits; p is the data, q the model."""

from typing import Any

import jax

from genloss_jax.losses import adversarial
from genloss_jax.losses.catalog._card import Example, LossCard

_PROOF = "tests/losses/test_adversarial.py::test_both_players_at_the_optimal_critic[{}]"
_LOGISTIC = "D: softplus(-r) + softplus(f)"
_LOG_RATIO = "D at log p/q, worth log 4 - 2 JSD(p, q)"
_PAPER = {
    "gan": "Goodfellow et al. 2014, Generative Adversarial Nets",
    "least_squares": "Mao et al. 2017, Least Squares Generative Adversarial Networks",
    "f_gan": "Nowozin et al. 2016, f-GAN, tables 1 and 2",
}


def _card(
    name: str,
    equation: str,
    *,
    minimised_by: str,
    conventions: str,
    reference: str,
    kind: str = "lower bound",
    unit: str = "nats",
    example: Any = None,
) -> LossCard:
    return LossCard(
        name=name,
        family="adversarial",
        fn=adversarial.get(name),
        equation=equation,
        unit=unit,
        kind=kind,
        conventions=conventions,
        minimised_by=minimised_by,
        reference=reference,
        proof=_PROOF.format(name),
        example=example,
    )


def _wide_example(name: str, outcomes: int) -> Any:
    def example(key: Any) -> Example:
        real, fake = jax.random.normal(key, (2, 4, outcomes))
        return Example(adversarial.get(name).discriminator, (real, fake))

    return example


_POINTWISE = (
    _card(
        "minimax",
        f"{_LOGISTIC}; G: -softplus(f)",
        minimised_by=f"{_LOG_RATIO}; G's gradient there is that of 2 JSD(p, q)",
        conventions="The saturating, zero-sum game. Some libraries give this name to a non-saturating generator.",
        reference=f"{_PAPER['gan']}, equation 1",
    ),
    _card(
        "non_saturating",
        f"{_LOGISTIC}; G: softplus(-f)",
        minimised_by=f"{_LOG_RATIO}; G's gradient there is that of 2 KL((p + q)/2 ‖ p) = KL(q ‖ p) - 2 JSD(p, q)",
        conventions="Not zero-sum. Called vanilla, logistic or softplus elsewhere.",
        reference=f"{_PAPER['gan']}, section 3; Arjovsky and Bottou 2017, theorem 2.5",
    ),
    _card(
        "label_smoothed",
        "D: 0.9 softplus(-r) + 0.1 softplus(r) + softplus(f); G: softplus(-f)",
        minimised_by="D at sigmoid(t) = 0.9 p/(p + q); G's gradient there is that of 2 KL((p + q)/2 ‖ p)",
        conventions="One-sided: real targets are mixed, the logit is not scaled: label_smoothed(base, real_label=...).",
        reference="Salimans et al. 2016, Improved Techniques for Training GANs, section 3.4",
        kind="exact",
    ),
    _card(
        "least_squares",
        "D: 1/2 (r - 1)² + 1/2 f²; G: 1/2 (f - 1)²",
        minimised_by="D at p/(p + q), worth 1/4 - 1/8 χ²(2q ‖ p + q), χ²(a ‖ b) = Σ (a - b)²/b; "
        "G's gradient there is that of KL(p ‖ (p + q)/2) - 1/8 χ²(2q ‖ p + q)",
        conventions="1/2 on each term, targets 1, 0, 1, raw logits (no sigmoid). The paper's χ² needs other targets.",
        reference=f"{_PAPER['least_squares']}, equation 9",
        unit="squared critic units",
    ),
    _card(
        "least_squares_pearson",
        "D: 1/2 (r - 1)² + 1/2 (f + 1)²; G: 1/2 f²",
        minimised_by="D at (p - q)/(p + q), worth 1 - 1/2 χ²(2q ‖ p + q); G on both sides there is 1/2 χ²(2q ‖ p + q), "
        "but at a fixed critic its gradient is no descent direction where q < p",
        conventions="Targets 1, -1, 0 (the paper's b, a, c). Built by least_squares_targets.",
        reference=f"{_PAPER['least_squares']}, section 3.2",
        unit="squared critic units",
    ),
    _card(
        "wasserstein",
        "D: f - r; G: -f",
        minimised_by="over 1-Lipschitz critics, D at Kantorovich's potential, worth -W1(p, q); G's gradient is W1's",
        conventions="Unbounded below unless the critic is constrained. Some code has both signs flipped.",
        reference="Arjovsky et al. 2017, Wasserstein Generative Adversarial Networks, equation 2",
        unit="critic units",
    ),
    _card(
        "hinge",
        "D: relu(1 - r) + relu(1 + f); G: -f",
        minimised_by="D at sign(p - q), worth 2 - 2 TV(p, q), TV = 1/2 Σ|p - q|; G's gradient there is that of 2 TV",
        conventions="No 1/2. The generator has no relu. Argument order (fake, real) is common elsewhere.",
        reference="Lim and Ye 2017, Geometric GAN; Miyato et al. 2018, SN-GAN, equations 16 and 17",
        unit="critic units",
    ),
    _card(
        "boundary_seeking",
        f"{_LOGISTIC}; G: 1/2 f²",
        minimised_by=f"{_LOG_RATIO}; G there is 1/2 E_q[log² p/q], zero where p = q; "
        "at a fixed critic its gradient is no descent direction where q < p",
        conventions="For continuous data. Even in f: samples taken for real are pushed back too.",
        reference="Hjelm et al. 2018, Boundary-Seeking Generative Adversarial Networks, section 3",
    ),
)

_F_GAN_NOTES = {
    "kl": ("-r + exp(f - 1)", "1 + log p/q", "KL(p ‖ q)"),
    "reverse_kl": ("exp(-r) + f - 1", "log p/q", "KL(q ‖ p)"),
    "jensen_shannon": ("softplus(-r) + softplus(f) - 2 log 2", "log p/q", "2 JSD(p, q)"),
    "gan": ("softplus(-r) + softplus(f)", "log p/q", "2 JSD(p, q) - log 4"),
    "pearson": ("-r + (max(f, -2)/2 + 1)² - 1", "2 (p/q - 1)", "Σ (p - q)²/q"),
    "neyman": ("exp(-r) - 1 + 2 - 2 exp(-f/2)", "2 log p/q", "Σ (p - q)²/p"),
    "squared_hellinger": ("exp(-r) - 1 + exp(f) - 1", "1/2 log p/q", "Σ (√p - √q)²"),
    "jeffreys": ("-1 - r + exp(-r) + exp(f) - 1 + f", "log p/q", "KL(p ‖ q) + KL(q ‖ p)"),
    "total_variation": ("-1/2 tanh r + 1/2 tanh f", "±∞ by the sign of p - q", "1/2 Σ|p - q|"),
}

_F_GAN = (
    *(
        _card(
            f"f_gan_{divergence}",
            f"D: {equation}; G: minus D's terms in f",
            minimised_by=f"D at {critic}, worth -({measured}); G's gradient there is that of the divergence",
            conventions="Zero-sum; the practical generator -T(f) by f_gan(..., saturating=False). "
            "Nowozin's normalisation: Jensen-Shannon doubled, Hellinger without 1/2.",
            reference=_PAPER["f_gan"],
            unit="nats"
            if divergence in ("kl", "reverse_kl", "jensen_shannon", "gan", "jeffreys")
            else "divergence units",
        )
        for divergence, (equation, critic, measured) in _F_GAN_NOTES.items()
    ),
    _card(
        "alpha_gan",
        "ℓ(x) = α/(α - 1) (1 - sigmoid(x)^(1 - 1/α)); D: ℓ(r) + ℓ(-f); G: -ℓ(-f)",
        minimised_by="D at α log p/q, worth α/(α - 1) (2 - Σ (p^α + q^α)^(1/α)); G's gradient there is that of "
        "Arimoto's divergence, minus that value up to a constant",
        conventions="By name α = 2. α = 1: minimax, 1/2: squared Hellinger, ∞: total variation. Not Rosca's hybrid.",
        reference="Kurri, Sypherd and Sankar 2021, Realizing GANs via a Tunable Loss Function, theorems 1 and 2",
        unit="nats at α = 1",
    ),
)

_BASES = {
    "": ("logistic", "nats"),
    "_hinge": ("hinge", "critic units"),
    "_least_squares": ("least squares with targets 1 and -1", "squared critic units"),
}
_KINDS = {
    "paired": ("1/2 B(r - f, f - r)", "lower bound", "Examples are paired by position."),
    "average": ("B(r - mean f, f - mean r)", "biased estimate", "Two terms, so twice the scale of the paired loss."),
    "centered": ("B(r - c, f - c), c = (mean r + mean f)/2", "biased estimate", "Two terms, as the average kind."),
    "all_pairs": (
        "1/2 B(r_i - f_j, f_j - r_i) averaged over j",
        "lower bound",
        "The paired expectation, less variance.",
    ),
}
_DELTA = "Δ = Σ (p - q)²/(p + q)"
_RELATIVISTIC_VALUES = {
    "paired": "D at log p/q + constant, worth log 2 - JSD(p⊗q, q⊗p); G descends that JSD",
    "all_pairs": "D at log p/q + constant, worth log 2 - JSD(p⊗q, q⊗p); G descends that JSD",
    "average": "D below 2 log 2 unless p = q; G descends JSD(p⊗q, q⊗p)",
    "centered": "D at least log 4 - 2 JSD(p, q), equal if log p/q is centred; G descends JSD(p⊗q, q⊗p)",
    "paired_least_squares": f"D at 2/(2 + Δ) (p - q)/(p + q), worth 1/2 - Δ/(2 + Δ), {_DELTA}; G descends Δ",
    "all_pairs_least_squares": f"D at 2/(2 + Δ) (p - q)/(p + q), worth 1/2 - Δ/(2 + Δ), {_DELTA}; G descends Δ",
    "average_least_squares": f"D at 4/(2 + 3Δ) (p - q)/(p + q), worth (2 - Δ)/(2 + 3Δ), {_DELTA}; G descends Δ",
    "centered_least_squares": f"D at (p - q)/(p + q), worth 1 - Δ/2, {_DELTA}; G descends Δ",
}

_RELATIVISTIC = tuple(
    _card(
        f"relativistic_{kind}{suffix}",
        f"D: {equation}, B the {base} discriminator; G: D with r and f exchanged",
        minimised_by=_RELATIVISTIC_VALUES.get(
            f"{kind}{suffix}",
            "D at the solution of a linear program, below its value at a flat critic; G descends TV(p, q)",
        ),
        conventions=f"{note} Not zero-sum: published analyses are of -D as the generator (zero_sum=True), "
        "code trains this one. The logits' offset is free.",
        reference="Jolicoeur-Martineau 2019, The Relativistic Discriminator; 2020, On Relativistic f-Divergences",
        kind=bound,
        unit=unit,
    )
    for suffix, (base, unit) in _BASES.items()
    for kind, (equation, bound, note) in _KINDS.items()
)

_BATCHWISE = (
    _card(
        "kl_wasserstein",
        "D: -r + log mean exp f; G: -log mean exp f",
        minimised_by="D at log p/q + constant, worth -KL(p ‖ q); G's gradient there is that of KL(p ‖ q)",
        conventions="The log-mean runs over the batch. The authors' image code has hinges around reweighted logits.",
        reference="Song and Ermon 2020, Bridging the Gap Between f-GANs and Wasserstein GANs, section 3",
        kind="biased estimate",
    ),
    _card(
        "cumulant",
        "D: 1/β log mean exp(-β r) + 1/γ log mean exp(γ f); G: -1/γ log mean exp(γ f)",
        minimised_by="if β + γ = 1, D at log p/q + constant, worth -1/γ R_γ(p ‖ q), R Rényi's divergence; at "
        "β = γ = 1/2 that is 4 log Σ√(pq); G's gradient there is that of the divergence",
        conventions="By name β = γ = 1/2. A rate of 0 is the mean: (0, 0) wasserstein, (0, 1) kl_wasserstein.",
        reference="Pantazis et al. 2022, Cumulant GAN",
        kind="biased estimate",
    ),
    _card(
        "softmax",
        "D: log Z - r; G: log Z - 1/2 (r + f); Z sums exp over all 2B logits",
        minimised_by="D at log p/(p + q) + constant, worth log 2B - KL(p ‖ m), m = (p + q)/2; G there is log 2B "
        "+ KL(m ‖ p), but at a fixed critic its gradient is no descent direction where q < p",
        conventions="Values grow with log B. The paper's energy is minus the logit.",
        reference="Lin 2017, Softmax GAN",
        kind="biased estimate",
    ),
    _card(
        "dual_contrastive",
        "D: log(1 + Σ_j exp(f_j - r_i)) + log(1 + Σ_j exp(f_i - r_j)); G: -D",
        minimised_by="for large B, D at log p/q + constant, worth 2 log B - KL(p ‖ q) - KL(q ‖ p), which G descends",
        conventions="Zero-sum; sums, not means, over the other side, so values grow with 2 log B.",
        reference="Yu et al. 2021, Dual Contrastive Loss and Attention for GANs, section 3",
        kind="biased estimate",
    ),
    _card(
        "quadratic_potential",
        "Δ = r - f; D: -Δ + Δ²/(2 scale); G: Δ",
        minimised_by="with scale s, D at 2s/(2 + C) (p - q)/(p + q) + constant, worth -s C/(2 + C), "
        "C = Σ (p - q)²/(p + q); G descends C",
        conventions="GAN-QP. By name scale 1; the paper's is λ d(x_real, x_fake): quadratic_potential(lam * distance).",
        reference="Su 2018, GAN-QP",
        unit="critic units",
    ),
)

_ENERGY = (
    _card(
        "energy_based",
        "D: -r + relu(margin + f); G: -f",
        minimised_by="with r, f <= 0, D at 0 where p > q and -margin elsewhere, worth margin (1 - TV(p, q)); "
        "G's gradient there is that of margin TV",
        conventions="Energy = -logit, at least 0 in the paper, else D is unbounded below. By name margin 1.",
        reference="Zhao, Mathieu and LeCun 2017, Energy-based Generative Adversarial Networks, equations 1 and 2",
        unit="energy",
    ),
    _card(
        "began",
        "D: -r + k f; G: -f; k' = clip(k + λ (γ E(real) - E(fake)), 0, 1)",
        minimised_by="with energies in [0, m], D at -m where k q > p and 0 elsewhere, worth -m Σ max(k q - p, 0); "
        "G's gradient there is 1/k times that of m Σ max(k q - p, 0). k rests where E(fake) = γ E(real)",
        conventions="Energy = -logit. k is a state that training moves by began_balance; by name it stays at 1/2.",
        reference="Berthelot, Schumm and Metz 2017, BEGAN, equation 5",
        unit="energy",
    ),
)

_WIDE = (
    _card(
        "realness",
        "D: KL(A1 ‖ softmax r) + KL(A0 ‖ softmax f); G: KL(A1 ‖ softmax f) - KL(A0 ‖ softmax f)",
        minimised_by="D at the mixture (p A1 + q A0)/(p + q), worth Σ (p + q) JSD_w(A1, A0) with w = p/(p + q); "
        "G descends JSD(p, q) there",
        conventions="Logits [batch, outcomes]. By name the anchors are A1 = (.1, .2, .3, .4) and A0, its reverse.",
        reference="Xiangli et al. 2020, Real or Not Real, that is the Question, section 3",
        kind="exact",
        example=_wide_example("realness", 4),
    ),
    _card(
        "multi_hinge",
        "M_y = s_y - max over k ≠ y of s_k; D: relu(1 - M_label(r)) + relu(1 - M_fake(f)); G: relu(1 - M_label(f))",
        minimised_by="with one class, D at margin sign(p - q), worth 2 - 2 TV(p, q), G's gradient there that of 2 TV; "
        "with more, the Crammer-Singer risk",
        conventions="Logits [batch, classes + 1], fake last; multi_hinge(real_labels, fake_labels). By name one class.",
        reference="Kavalerov, Czaja and Chellappa 2021, A Multi-Class Hinge Loss for Conditional GANs",
        unit="critic units",
        kind="exact",
        example=_wide_example("multi_hinge", 3),
    ),
)

CARDS: tuple[LossCard, ...] = (*_POINTWISE, *_F_GAN, *_RELATIVISTIC, *_BATCHWISE, *_ENERGY, *_WIDE)
