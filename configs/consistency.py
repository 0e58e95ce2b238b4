"""A consistency model on the two moons, trained without a teacher and sampled in one step (Song and Dhariwal 2024).

python -m experiments.train --config=configs/consistency.py --workdir=runs/consistency

About four minutes of processor time. Expect a squared sliced Wasserstein distance of 0.010 (real against real 0.003).
"""

from configs import base, flow_matching


def get_config(variant: str = ""):
    config = flow_matching.get_config()
    config.diffusion.process = "consistency"
    config.diffusion.log_sigma_mean = -0.5
    config.diffusion.log_sigma_std = 1.5
    config.diffusion.sigma_min = 0.01
    config.diffusion.sigma_max = 20.0
    config.diffusion.num_steps = 1
    config.training.evaluate_every_steps = 5000
    return base.finish(config, variant)
