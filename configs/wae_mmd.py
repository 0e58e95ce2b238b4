"""A Wasserstein autoencoder on the digits, held to its prior by a kernel (Tolstikhin et al. 2018).

python -m experiments.train --config=configs/wae_mmd.py --workdir=runs/wae_mmd

One minute of processor time. Expect a Fréchet distance of 2.0 and a squared error of reconstruction of 0.052.
"""

from configs import base, vae


def get_config(variant: str = ""):
    config = vae.get_config()
    config.family = "adversarial_autoencoder"
    config.adversarial_autoencoder.method = "wae_mmd"
    config.latent.dim = 8
    return base.finish(config, variant)
