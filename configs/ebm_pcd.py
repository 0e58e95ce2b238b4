"""An energy of the eight Gaussians, learned from persistent Langevin chains (Tieleman 2008; Du and Mordatch 2019).

python -m experiments.train --config=configs/ebm_pcd.py --workdir=runs/ebm_pcd

About 3.5 minutes of processor time on one of two cores. Gap to the entropy 0.013 ± 0.003 nats, by quadrature of the
normaliser.
"""

from configs import base


def get_config(variant: str = ""):
    config = base.single_player(base.get_config())
    config.family = "energy"
    config.data.name = "eight_gaussians"
    config.data.batch_size = 256
    config.networks.name = "mlp"
    config.networks.width = 128
    config.networks.normalization = "none"
    config.networks.activation = "silu"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.b1 = 0.9
    config.schedule.anneal.learning_rate = base.path("cosine", 0.0)
    config.schedule.ema_decay = 0.999
    config.training.total_steps = 5000
    config.training.log_every_steps = 500
    config.training.evaluate_every_steps = 2500
    config.training.checkpoint_every_steps = 2500
    config.training.steps_per_dispatch = 100
    return base.finish(config, variant)
