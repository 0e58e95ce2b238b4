"""The Dirac-GAN with every adversarial loss, undamped and damped: what docs/stability.md derives, trained.

python -m experiments.ablate --config=configs/ablations/dirac.py --workdir=runs/dirac

Four minutes, most of them compiling. No chance is in it, so one seed says all, and the report names no best loss. The
metric is the squared distance to the equilibrium. Expect that every loss arrives with some penalty, at less than
1e-15, but least_squares, whose critic would need the level 1/2, which a critic without a bias does not have; and that
without a penalty most circle where they began.
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
