"""Does a network that computes in bfloat16 train as well as one in float32?

python -m experiments.ablate --config=configs/ablations/precision.py --workdir=runs/precision
python -m experiments.ablate --config=configs/ablations/precision.py --workdir=runs/precision_vae --config.base=vae
"""

from configs.ablations import base


def get_config(variant: str = ""):
    study = base.get_config()
    study.name = "precision"
    study.title = "bfloat16 and float32 in the networks of handwritten digits"
    study.modality = "image"
    study.base = "gan_digits"
    study.axes.precision = ("float32", "bfloat16")
    study.axes.seed = tuple(range(5))
    study.compare = "precision"
    study.num_kept_samples = 16
    return base.finish(study, variant)
