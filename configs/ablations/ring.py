"""Which adversarial loss on the ring of eight modes? 16 losses, 3 penalties, 10 seeds.

python -m experiments.ablate --config=configs/ablations/ring.py --workdir=runs/ring

480 members in 27 minutes of two cores that had other work too. Expect that 13 of the 16 losses cannot be told apart,
with reverse KL from 0.28 to 0.52 (real against real 0.002), and that softmax, least_squares_pearson and
boundary_seeking stay behind at 0.7 to 0.8.
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
