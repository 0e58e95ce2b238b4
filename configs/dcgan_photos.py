"""A DCGAN on 32 x 32 colour crops of scikit-learn's two photographs.

python -m experiments.train --config=configs/dcgan_photos.py --workdir=runs/photos
"""

from configs import base


def get_config(variant: str = ""):
    config = base.get_config()
    config.data.name = "photos"
    config.latent.dim = 100
    config.training.total_steps = 5000
    return base.finish(config, variant)
