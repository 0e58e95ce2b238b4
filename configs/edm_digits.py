"""A small U-Net that denoises the digits with EDM's preconditioning, sampled by Heun's method (Karras et al. 2022).

python -m experiments.train --config=configs/edm_digits.py --workdir=runs/edm_digits
"""

from configs import base


def get_config(variant: str = ""):
    config = base.single_player(base.get_config())
    config.family = "diffusion"
    config.data.batch_size = 128
    config.networks.name = "unet"
    config.networks.width = 32
    config.networks.depth = 1
    config.networks.normalization = "group"
    config.diffusion.process = "edm"
    config.diffusion.sampler = "heun"
    config.diffusion.num_steps = 18
    config.optimizer.learning_rate = 1e-3
    config.optimizer.b1 = 0.9
    config.schedule.anneal.learning_rate = base.path("cosine", 0.0)
    config.schedule.ema_decay = 0.999
    config.training.total_steps = 4000
    config.training.log_every_steps = 200
    config.training.evaluate_every_steps = 1000
    config.training.checkpoint_every_steps = 1000
    config.training.steps_per_dispatch = 50
    return base.finish(config, variant)
