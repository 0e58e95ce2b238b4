"""A DCGAN on CIFAR-10; needs the dataset on disk, or a network and the extra tfds-prepare.

python -m experiments.train --config=configs/dcgan_cifar10.py --workdir=runs/cifar10 --config.data.download
"""

from configs import base, dcgan_photos


def get_config(variant: str = ""):
    config = dcgan_photos.get_config()
    config.data.name = "cifar10"
    config.training.total_steps = 50_000
    return base.finish(config, variant)
