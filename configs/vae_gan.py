"""A VAE-GAN on the digits, on the networks of `vae` (Larsen et al. 2016).

python -m experiments.train --config=configs/vae_gan.py --workdir=runs/vae_gan

One and a half minutes of processor time. Expect a Fréchet distance of 1.9 and a squared error of reconstruction of
0.041, where `vae` has 3.3 and 0.033 (`python -m benchmarks.reconstruction`).
"""

from configs import aae, base


def get_config(variant: str = ""):
    config = base.with_players(aae.get_config(), discriminator=False, encoder=True, decoder=True)
    config.adversarial_autoencoder.method = "vae_gan"
    config.adversarial_autoencoder.adversarial_weight = 50.0
    config.adversarial_autoencoder.feature_weight = 5.0
    config.latent.dim = 16
    config.penalty.weight = 0.2
    config.training.total_steps = 2500
    return base.finish(config, variant)
