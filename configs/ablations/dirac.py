"""The Dirac-GAN with every adversarial loss, undamped and damped: what docs/stability.md derives, trained.

python -m experiments.ablate --config=configs/ablations/dirac.py --workdir=runs/dirac

No chance is in it, so one seed says all, and the report names no best loss. The metric is the squared distance to the
equilibrium: without a penalty most losses circle at the distance 1 they began with or spiral in slowly, with R1 they arrive.
"""

from configs.ablations import base


def get_config(variant: str = ""):
    study = base.get_config()
    study.name = "dirac"
    study.title = "The Dirac-GAN with every adversarial loss"
    study.modality = "game"
    study.base = "dirac"
    study.axes.loss = base.ADVERSARIAL_LOSSES
    study.axes.penalty = {
        "none": {"penalty": {"name": ""}},
        "r1": {"penalty": {"name": "r1", "weight": 0.3}},
        "r1, critical": {"penalty": {"name": "r1", "weight": 1.0}},  # for a loss that turns at ω = 1/2
        "wgan_gp": {"penalty": {"name": "wgan_gp", "weight": 0.3}},
        "zero_centered": {"penalty": {"name": "zero_centered", "weight": 0.3}},
    }
    study.num_kept_samples = 1
    return base.finish(study, variant)
