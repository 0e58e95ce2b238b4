"""The Dirac-GAN with every adversarial loss, undamped and damped: what docs/stability.md derives, trained.

python -m experiments.ablate --config=configs/ablations/dirac.py --workdir=runs/dirac

No chance is in it, so one seed says all, and the report names no best loss. The distance is the squared one to the
equilibrium; its factor per two steps is the squared spectral radius of docs/stability.md, to the fourth decimal.
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
        "r1 0.3": {"penalty": {"name": "r1", "weight": 0.3}},
        "r1 1": {"penalty": {"name": "r1", "weight": 1.0}},
        "wgan_gp 0.3": {"penalty": {"name": "wgan_gp", "weight": 0.3}},
        "zero_centered 0.3": {"penalty": {"name": "zero_centered", "weight": 0.3}},
    }
    study.num_kept_samples = 1
    return base.finish(study, variant)
