"""All adversarial losses on the grid of 25 modes, with and without a penalty, at two rates, 10 seeds each.

python -m experiments.ablate --config=configs/ablations/grid.py --workdir=runs/grid

1,440 members, about 40 minutes of two free cores. The budget is small for 25 modes: it says which loss is quick, not
which is best in the end. Expect boundary_seeking ahead (reverse KL 2.5, real data 0.004), on 7.5 modes with 46 % of
high quality; the others lie between 3.5 and 4.1, and most of them cover more modes with less quality.
"""

from configs.ablations import base, ring


def get_config(variant: str = ""):
    study = ring.get_config().unlock()
    study.name = "grid"
    study.title = "Adversarial losses on the grid of 25 modes"
    study.base = "gan_grid"
    study.overrides.training.total_steps = 2000
    study.overrides.training.evaluate_every_steps = 500
    study.overrides.training.checkpoint_every_steps = 1000
    study.axes.loss = base.ADVERSARIAL_LOSSES
    study.axes.learning_rate = (1e-3, 3e-3)
    del study.axes.penalty["wgan_gp"]
    return base.finish(study, variant)
