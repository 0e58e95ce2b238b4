"""A causal transformer on the digits, one token for each of 64 pixels (Chen et al. 2020).

python -m experiments.train --config=configs/image_gpt.py --workdir=runs/image_gpt
"""

from configs import base, pixelcnn


def get_config(variant: str = ""):
    config = pixelcnn.get_config()
    config.networks.name = "image_gpt"
    config.networks.depth = 3
    config.autoregressive.dropout = 0.1
    config.training.total_steps = 800
    config.training.evaluate_every_steps = 400
    return base.finish(config, variant)
