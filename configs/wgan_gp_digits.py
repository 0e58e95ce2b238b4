"""WGAN-GP on the digits: five critic steps, weight 10, no batch norm in the critic (Gulrajani et al. 2017).

python -m experiments.train --config=configs/wgan_gp_digits.py --workdir=runs/wgan_gp_digits
"""

from configs import base, gan_digits


def get_config(variant: str = ""):
    config = gan_digits.get_config()
    config.loss = "wasserstein"
    config.penalty.name = "wgan_gp"
    config.penalty.weight = 10.0
    config.networks.normalization = "none"
    config.players.discriminator.moves = 5
    config.optimizer.learning_rate = 1e-4
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.9
    return base.finish(config, variant)
