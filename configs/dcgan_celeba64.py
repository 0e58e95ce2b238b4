"""The DCGAN of the paper: CelebA at 64 pixels, z = 100 uniform, batch 128 there and 64 here, Adam 2e-4, b1 = 0.5.

python -m experiments.train --config=configs/dcgan_celeba64.py --workdir=runs/celeba64 --config.data.download
"""

from configs import base, dcgan_photos


def get_config(variant: str = ""):
    config = dcgan_photos.get_config()
    config.data.name = "celeb_a"
    config.data.image_size = 64
    config.latent.distribution = "uniform"
    config.training.total_steps = 100_000
    return base.finish(config, variant)
