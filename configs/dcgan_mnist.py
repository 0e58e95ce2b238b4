"""A DCGAN on MNIST at 32 pixels; needs the dataset on disk, or a network and the extra tfds-prepare.

python -m experiments.train --config=configs/dcgan_mnist.py --workdir=runs/mnist --config.data.download
"""

from configs import base, dcgan_photos


def get_config(variant: str = ""):
    config = dcgan_photos.get_config()
    config.data.name = "mnist"
    config.data.image_size = 32
    config.training.total_steps = 20_000
    return base.finish(config, variant)
