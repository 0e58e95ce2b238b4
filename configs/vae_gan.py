"""A VAE-GAN on the digits, with DCGAN's bodies (Larsen et al. 2016).

python -m experiments.train --config=configs/vae_gan.py --workdir=runs/vae_gan
"""

from configs import base


def get_config(variant: str = ""):
    config = base.with_players(base.get_config(), discriminator=False, encoder=True, decoder=True)
    config.family = "adversarial_autoencoder"
    config.adversarial_autoencoder.method = "vae_gan"
    config.latent.dim = 16
    config.networks.width = 32
    config.optimizer.learning_rate = 1e-3
    config.schedule.anneal.learning_rate = base.path("cosine", 0.0)
    config.training.total_steps = 4000
    return base.finish(config, variant)
