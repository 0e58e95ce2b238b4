"""A variational autoencoder on the digits: MLPs, logistic noise over the 17 grey levels (Kingma and Welling 2014).

python -m experiments.train --config=configs/vae.py --workdir=runs/vae

Half a minute of processor time. Expect 1.92 bits per dimension (a bound by 64 latents) and a Fréchet distance of 3.3.
"""

from configs import base


def get_config(variant: str = ""):
    config = base.single_player(base.get_config())
    config.family = "vae"
    config.networks.name = "mlp"
    config.networks.width = 256
    config.networks.depth = 2
    config.networks.normalization = "none"
    config.latent.dim = 16
    config.optimizer.learning_rate = 1e-3
    config.optimizer.b1 = 0.9
    config.schedule.anneal.learning_rate = base.path("cosine", 0.0)
    config.schedule.ema_decay = 0.999
    config.training.total_steps = 2500
    config.training.evaluate_every_steps = 500
    config.training.steps_per_dispatch = 50
    return base.finish(config, variant)
