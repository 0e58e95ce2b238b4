"""A conditional DCGAN on the digits: class embedding in the generator, projection critic.

python -m experiments.train --config=configs/cgan_digits.py --workdir=runs/cgan_digits
"""

from configs import base, gan_digits


def get_config(variant: str = ""):
    config = gan_digits.get_config()
    config.networks.conditional = True
    return base.finish(config, variant)
