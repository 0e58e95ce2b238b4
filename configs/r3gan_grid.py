"""Paired relativistic loss with R1 and R2 on the grid of 25 modes (Huang et al. 2024; protocol: Lin et al. 2018).

python -m experiments.train --config=configs/r3gan_grid.py --workdir=runs/r3gan_grid

About 15 minutes of one core for five seeds together. Expect 25 of 25 modes, 96 % of high quality, a
reverse KL of 0.042.
"""

from configs import base, r3gan_ring


def get_config(variant: str = ""):
    config = r3gan_ring.get_config()
    config.data.name = "grid"
    config.schedule.anneal.penalty_weight.factor = 1e-2
    return base.finish(config, variant)
