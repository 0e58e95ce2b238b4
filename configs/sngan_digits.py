"""SNGAN on the digits: residual pair, spectral normalisation, hinge loss (Miyato et al. 2018).

python -m experiments.train --config=configs/sngan_digits.py --workdir=runs/sngan_digits
"""

from configs import base, gan_digits


def get_config(variant: str = ""):
    config = gan_digits.get_config()
    config.loss = "hinge"
    config.networks.name = "resnet"
    config.networks.spectral_norm = True
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.9
    return base.finish(config, variant)
