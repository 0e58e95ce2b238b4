"""A Glow on the digits, with uniform noise over the 17 grey levels (Kingma and Dhariwal 2018).

python -m experiments.train --config=configs/glow.py --workdir=runs/glow
"""

from configs import base


def get_config(variant: str = ""):
    config = base.single_player(base.get_config())
    config.family = "flow"
    config.flow.layer = "glow"
    config.flow.transformer = "affine"
    config.flow.num_layers = 6
    config.flow.max_log_scale = 2.0
    config.networks.name = "conv"
    config.networks.width = 64
    config.optimizer.learning_rate = 1e-3
    config.optimizer.b1 = 0.9
    config.optimizer.clip_gradient_norm = 100.0
    config.schedule.ema_decay = 0.999
    config.schedule.anneal.learning_rate = base.path("cosine", 0.0)
    config.training.total_steps = 5000
    return base.finish(config, variant)
