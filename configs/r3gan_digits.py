"""R3GAN on the digits: paired relativistic loss, R1 and R2, a residual pair without normalisation (Huang et al. 2024).

python -m experiments.train --config=configs/r3gan_digits.py --workdir=runs/r3gan_digits
"""

from configs import base, gan_digits


def get_config(variant: str = ""):
    config = gan_digits.get_config()
    config.loss = "relativistic_paired"
    config.penalty.name = "r1+r2"
    config.penalty.weight = 1.0
    config.networks.name = "r3gan"
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.99
    return base.finish(config, variant)
