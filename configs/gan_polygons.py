"""A non-saturating GAN of MLPs with R1 on grey triangles, whose precision can be measured (Lucic et al. 2018).

python -m experiments.train --config=configs/gan_polygons.py --workdir=runs/gan_polygons

About a minute of one core. Expect a precision of 0.62, a recall of 0.97 (real against real 1 and 0.96), and their F1 of
0.75.
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
    config.penalty.weight = 0.1
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.99
    config.optimizer.learning_rate = 1e-3
    config.schedule.anneal.learning_rate = base.path("cosine", 0.0)
    config.schedule.ema_decay = 0.999
    config.training.total_steps = 10_000
    config.training.evaluate_every_steps = 2000
    config.training.checkpoint_every_steps = 5000
    config.training.steps_per_dispatch = 250
    return base.finish(config, variant)
