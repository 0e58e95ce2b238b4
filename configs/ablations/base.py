"""Every field of every study, once. A study trains variants of a config and compares the values of one axis."""

from ml_collections import ConfigDict

ADVERSARIAL_LOSSES = (
    "minimax",
    "non_saturating",
    "label_smoothed",
    "least_squares",
    "least_squares_pearson",
    "wasserstein",
    "hinge",
    "boundary_seeking",
    "f_gan_kl",
    "f_gan_reverse_kl",
    "f_gan_jensen_shannon",
    "f_gan_gan",
    "f_gan_pearson",
    "f_gan_neyman",
    "f_gan_squared_hellinger",
    "f_gan_jeffreys",
    "f_gan_total_variation",
    "alpha_gan",
    "kl_wasserstein",
    "cumulant",
    "energy_based",
    "relativistic_paired",
    "relativistic_average",
    "relativistic_centered",
    "relativistic_paired_hinge",
    "relativistic_average_hinge",
    "relativistic_centered_hinge",
    "relativistic_paired_least_squares",
    "relativistic_average_least_squares",
    "relativistic_centered_least_squares",
    "softmax",
    "dual_contrastive",
    "quadratic_potential",
    "relativistic_all_pairs",
    "relativistic_all_pairs_hinge",
    "relativistic_all_pairs_least_squares",
)
"""All that need nothing but logits [batch], as `losses.adversarial.names()` has them."""


def get_config() -> ConfigDict:
    """Give the defaults: one member."""
    study = ConfigDict()
    study.name = ""
    study.title = ""
    study.modality = "plane"  # plane, image, ...: what experiments.advise asks for

    study.base = "gan_ring"  # name of a config in configs/
    study.variant = ""  # of the bases: "" or smoke
    study.overrides = ConfigDict()  # of fields of every member's config
    # Axis -> values of a field, labels with the overrides that they stand for, or a range {low, high, scale}.
    study.axes = ConfigDict()
    study.members = ()  # points {axis: value} in place of a full product; they are combined with the axes

    study.search = search = ConfigDict()  # how ranges are covered
    search.name = "quasi_random"  # quasi_random, random
    search.num_draws = 0  # points in the ranges, the same for every combination of the other axes
    search.seed = 0

    study.compare = "loss"  # the axis whose values are compared
    study.metric = ""  # by which they are; "": the protocol's own
    study.num_kept_samples = 256  # of each member, for pictures
    return study


def interval(low: float, high: float, scale: str = "log") -> ConfigDict:
    """Give an axis that is searched rather than listed."""
    return ConfigDict({"low": low, "high": high, "scale": scale})


def finish(study: ConfigDict, variant: str) -> ConfigDict:
    """Apply the variant named after the config's colon, and lock the study.

    smoke keeps the first and the last value of each axis, and the size of the bases: two steps of small networks.
    """
    if variant not in ("", "smoke"):
        raise ValueError(f"unknown variant {variant!r} after the config's colon; valid: 'smoke'")
    if variant == "smoke":
        study.variant = variant
        for name in ("training", "networks", "data.batch_size"):
            _remove(study.overrides, *name.split("."))
        study.search.num_draws = min(study.search.num_draws, 2)
        for name, values in study.axes.items():
            if isinstance(values, tuple):
                study.axes[name] = _ends(values)
            elif "scale" not in values:
                study.axes[name] = ConfigDict({label: values[label] for label in _ends(tuple(values))})
        study.num_kept_samples = min(study.num_kept_samples, 8)
    return study.lock()


def _ends(values: tuple) -> tuple:
    return values if len(values) < 2 else (values[0], values[-1])


def _remove(overrides: ConfigDict, first: str, *rest: str) -> None:
    if first in overrides and rest:
        _remove(overrides[first], *rest)
    elif first in overrides:
        del overrides[first]
