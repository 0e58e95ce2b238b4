"""Which adversarial loss on the ring of eight modes? 16 losses, 3 penalties, 10 seeds.

python -m experiments.ablate --config=configs/ablations/ring.py --workdir=runs/ring
"""

from configs.ablations import base

LOSSES = (
    "minimax",
    "non_saturating",
    "label_smoothed",
    "least_squares",
    "least_squares_pearson",
    "wasserstein",
    "hinge",
    "boundary_seeking",
    "f_gan_kl",
    "f_gan_pearson",
    "f_gan_squared_hellinger",
    "relativistic_paired",
    "relativistic_average",
    "relativistic_average_hinge",
    "softmax",
    "quadratic_potential",
)


def get_config(variant: str = ""):
    study = base.get_config()
    study.name = "ring"
    study.title = "Adversarial losses on the ring of eight modes"
    study.base = "gan_ring"
    study.overrides.networks = {"width": 64}
    study.overrides.data = {"batch_size": 128}
    study.overrides.training = {
        "total_steps": 5000,
        "evaluate_every_steps": 500,
        "checkpoint_every_steps": 2500,
        "steps_per_dispatch": 250,
    }
    study.overrides.schedule = {"anneal": {"learning_rate": {"shape": "cosine", "factor": 0.0}}}
    study.axes.loss = LOSSES
    study.axes.penalty = {
        "none": {"penalty": {"name": ""}},
        "r1": {"penalty": {"name": "r1", "weight": 0.1}},
        "wgan_gp": {"penalty": {"name": "wgan_gp", "weight": 1.0}},
    }
    study.axes.seed = tuple(range(10))
    return base.finish(study, variant)
