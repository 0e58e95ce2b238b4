"""The Dirac-GAN: a point that looks for another, and a linear critic (Mescheder et al. 2018); see docs/stability.md.

python -m experiments.train --config=configs/dirac.py --workdir=runs/dirac
"""

from configs import base


def get_config(variant: str = ""):
    config = base.get_config()
    config.data.name = "dirac"
    config.data.batch_size = 2
    config.networks.name = "linear"
    config.networks.normalization = "none"
    config.latent.dim = 1
    config.latent.distribution = "zero"
    config.optimizer.name = "sgd"
    config.optimizer.learning_rate = 0.2
    config.optimizer.b1 = 0.0
    config.players.generator.averaged = False
    config.training.total_steps = 500
    config.training.log_every_steps = 50
    config.training.evaluate_every_steps = 100
    config.training.steps_per_dispatch = 50
    return base.finish(config, variant)
