"""An adversarial autoencoder (WAE-GAN) on the digits (Makhzani et al. 2016).

python -m experiments.train --config=configs/aae.py --workdir=runs/aae

Three quarters of a minute of processor time. Expect a Fréchet distance of 1.4 and a squared error of reconstruction of
0.058.
"""

from configs import base


def get_config(variant: str = ""):
    config = base.with_players(base.get_config(), discriminator=False, model=True)
    config.family = "adversarial_autoencoder"
    config.adversarial_autoencoder.method = "aae"
    config.adversarial_autoencoder.adversarial_weight = 10.0
    config.latent.dim = 8
    config.networks.name = "mlp"
    config.networks.width = 256
    config.networks.depth = 2
    config.networks.normalization = "none"
    config.optimizer.learning_rate = 1e-3
    config.schedule.anneal.learning_rate = base.path("cosine", 0.0)
    config.schedule.ema_decay = 0.999
    config.training.total_steps = 4000
    config.training.steps_per_dispatch = 50
    return base.finish(config, variant)
