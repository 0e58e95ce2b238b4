"""A plain non-saturating GAN on the ring of eight modes: how a GAN without a penalty fails.

python -m experiments.train --config=configs/gan_ring.py --workdir=runs/gan_ring
"""

from configs import base


def get_config(variant: str = ""):
    config = base.get_config()
    config.data.name = "ring"
    config.data.batch_size = 256
    config.latent.dim = 2
    config.networks.name = "mlp"
    config.networks.width = 128
    config.networks.normalization = "none"
    config.networks.activation = "relu"
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.99
    config.optimizer.learning_rate = 1e-3
    config.schedule.ema_decay = 0.999
    config.training.total_steps = 20_000
    config.training.log_every_steps = 1000
    config.training.evaluate_every_steps = 5000
    config.training.checkpoint_every_steps = 5000
    config.training.steps_per_dispatch = 250
    return base.finish(config, variant)
