"""A Soft-IntroVAE on the digits, with logistic noise over the 17 grey levels (Daniel and Tamar 2021).

python -m experiments.train --config=configs/soft_intro_vae.py --workdir=runs/soft_intro_vae
"""

from configs import base


def get_config(variant: str = ""):
    config = base.with_players(base.get_config(), encoder=True, decoder=True)
    config.family = "adversarial_autoencoder"
    config.adversarial_autoencoder.method = "soft_intro_vae"
    config.latent.dim = 16
    config.networks.name = "mlp"
    config.networks.width = 256
    config.networks.depth = 2
    config.networks.normalization = "none"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.b1 = 0.9
    config.schedule.anneal.learning_rate = base.path("cosine", 0.0)
    config.schedule.ema_decay = 0.999
    config.training.total_steps = 4000
    config.training.steps_per_dispatch = 50
    return base.finish(config, variant)
