"""Adversarially learned inference (BiGAN) on the digits (Dumoulin et al. 2017; Donahue et al. 2017).

python -m experiments.train --config=configs/ali.py --workdir=runs/ali
"""

from configs import base


def get_config(variant: str = ""):
    config = base.with_players(base.get_config(), discriminator=False, model=True)
    config.family = "adversarial_autoencoder"
    config.adversarial_autoencoder.method = "ali"
    config.latent.dim = 16
    config.networks.width = 32
    config.penalty.weight = 0.1
    config.optimizer.learning_rate = 1e-3
    config.schedule.anneal.learning_rate = base.path("cosine", 0.0)
    config.training.total_steps = 4000
    return base.finish(config, variant)
