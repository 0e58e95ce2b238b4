"""A variational autoencoder with two levels of latents on the digits (Sønderby et al. 2016).

python -m experiments.train --config=configs/hvae.py --workdir=runs/hvae

Three quarters of a minute of processor time. Expect 1.90 bits per dimension (a bound by 64 pairs of latents) and a
Fréchet distance of 1.9, where the model of one level has 1.92 and 3.3.
"""

from configs import base, vae


def get_config(variant: str = ""):
    config = vae.get_config()
    config.family = "hvae"
    return base.finish(config, variant)
