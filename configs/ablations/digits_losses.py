"""Which adversarial loss for a DCGAN on handwritten digits?

python -m experiments.ablate --config=configs/ablations/digits_losses.py --workdir=runs/digits_losses

96 members, about half an hour of two free cores. Expect squared Fréchet distances of 1.14 (relativistic_average) to
1.33, which eight seeds do not tell apart, and 1.58 of least_squares, which is behind (real against real 0.65).
"""

from configs.ablations import base


def get_config(variant: str = ""):
    study = base.get_config()
    study.name = "digits_losses"
    study.title = "Adversarial losses of a DCGAN on handwritten digits"
    study.modality = "image"
    study.base = "gan_digits"
    study.overrides.training = {"total_steps": 2000, "evaluate_every_steps": 500, "checkpoint_every_steps": 1000}
    study.axes.loss = (
        "non_saturating",
        "least_squares",
        "wasserstein",
        "hinge",
        "relativistic_paired",
        "relativistic_average",
    )
    study.axes.penalty = {
        "none": {"penalty": {"name": ""}},
        "r1": {"penalty": {"name": "r1", "weight": 1.0}},
    }
    study.axes.seed = tuple(range(8))
    study.num_kept_samples = 16
    return base.finish(study, variant)
