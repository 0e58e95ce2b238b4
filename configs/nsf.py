"""A neural spline flow of coupling layers on the two moons (Durkan et al. 2019).

python -m experiments.train --config=configs/nsf.py --workdir=runs/nsf

About 2.5 minutes of processor time on one of two cores. Gap to the entropy 0.0012 ± 0.0006 nats (log-likelihood
-2.393); with --config.data.name=eight_gaussians 0.0037 ± 0.0009, with checkerboard 0.020 ± 0.002 in 3.5 minutes.
"""

from configs import base


def get_config(variant: str = ""):
    config = base.single_player(base.get_config())
    config.family = "flow"
    config.data.name = "moons"
    config.data.batch_size = 512
    config.networks.name = "mlp"
    config.networks.width = 64
    config.networks.depth = 2
    config.networks.normalization = "none"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.b1 = 0.9
    config.schedule.ema_decay = 0.999
    config.schedule.anneal.learning_rate = base.path("cosine", 0.0)
    config.training.total_steps = 10_000
    config.training.log_every_steps = 500
    config.training.evaluate_every_steps = 2500
    config.training.checkpoint_every_steps = 2500
    config.training.steps_per_dispatch = 100
    return base.finish(config, variant)
