"""A non-saturating GAN of MLPs on grey triangles, whose precision can be measured (Lucic et al. 2018).

python -m experiments.train --config=configs/gan_polygons.py --workdir=runs/gan_polygons
"""

from configs import base


def get_config(variant: str = ""):
    config = base.get_config()
    config.data.name = "polygons"
    config.latent.dim = 16
    config.networks.name = "mlp"
    config.networks.width = 128
    config.networks.normalization = "none"
    config.networks.activation = "relu"
    config.optimizer.learning_rate = 1e-3
    config.schedule.ema_decay = 0.999
    config.training.total_steps = 20_000
    config.training.evaluate_every_steps = 2000
    config.training.checkpoint_every_steps = 5000
    config.training.steps_per_dispatch = 250
    return base.finish(config, variant)
