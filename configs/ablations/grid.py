"""All adversarial losses on the grid of 25 modes, with and without penalties, at three rates, 10 seeds each.

python -m experiments.ablate --config=configs/ablations/grid.py --workdir=runs/grid
"""

from configs.ablations import base, ring


def get_config(variant: str = ""):
    study = ring.get_config().unlock()
    study.name = "grid"
    study.title = "Adversarial losses on the grid of 25 modes"
    study.base = "gan_grid"
    study.overrides.training.total_steps = 20_000
    study.overrides.training.evaluate_every_steps = 2500
    study.axes.loss = ring.LOSSES
    study.axes.learning_rate = (3e-4, 1e-3, 3e-3)
    return base.finish(study, variant)
