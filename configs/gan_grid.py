"""A plain non-saturating GAN on the grid of 25 modes.

python -m experiments.train --config=configs/gan_grid.py --workdir=runs/gan_grid
"""

from configs import base, gan_ring


def get_config(variant: str = ""):
    config = gan_ring.get_config()
    config.data.name = "grid"
    return base.finish(config, variant)
