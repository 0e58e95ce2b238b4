"""Are GANs created equal, on triangles? Seven of them, each at twelve random settings (Lucic et al. 2018).

python -m experiments.ablate --config=configs/ablations/are_gans_equal.py --workdir=runs/are_gans_equal

420 members. The settings are the same for all: without a penalty its weight says nothing, and there are twelve of each
all the same, so that none is searched harder than another.

About 20 minutes of two free cores. Expect an F1 of 0.10 to 0.15 for DRAGAN, least squares, non-saturating and minimax
(real data 0.98: the budget is small), whose intervals overlap, as theirs did; of 0.08, 0.05 and 0.005 for the
relativistic one with R1 and the two of Wasserstein. Five seeds are too few for a verdict.
"""

from configs.ablations import base

GANS = {
    "minimax": {"loss": "minimax"},
    "non_saturating": {"loss": "non_saturating"},
    "least_squares": {"loss": "least_squares"},
    "wasserstein (clipped)": {"loss": "wasserstein", "players": {"discriminator": {"clip_weights": 0.1}}},
    "wasserstein + wgan_gp": {"loss": "wasserstein", "penalty": {"name": "wgan_gp"}},
    "non_saturating + dragan": {"loss": "non_saturating", "penalty": {"name": "dragan"}},
    "relativistic_paired + r1": {"loss": "relativistic_paired", "penalty": {"name": "r1"}},
}


def get_config(variant: str = ""):
    study = base.get_config()
    study.name = "are_gans_equal"
    study.title = "Seven GANs on triangles, each at twelve random settings"
    study.modality = "image"
    study.base = "gan_polygons"
    study.overrides.penalty = {"name": ""}
    study.overrides.evaluation = {"num_samples": 500}
    study.overrides.training = {
        "total_steps": 2000,
        "evaluate_every_steps": 1000,
        "checkpoint_every_steps": 1000,
        "steps_per_dispatch": 250,
    }
    study.axes.gan = GANS
    study.axes.learning_rate = base.interval(1e-5, 1e-2)
    study.axes.penalty_weight = base.interval(0.1, 100.0)
    study.axes.b1 = base.interval(0.0, 0.9, "linear")
    study.axes.seed = tuple(range(5))
    study.search.name = "random"
    study.search.num_draws = 12
    study.compare = "gan"
    study.num_kept_samples = 16
    return base.finish(study, variant)
