"""Does a DCGAN that computes in bfloat16 train as well as one in float32?

python -m experiments.ablate --config=configs/ablations/precision.py --workdir=runs/precision
"""

from configs.ablations import base


def get_config(variant: str = ""):
    study = base.get_config()
    study.name = "precision"
    study.title = "bfloat16 and float32 in a DCGAN of handwritten digits"
    study.modality = "image"
    study.base = "gan_digits"
    study.overrides.training = {"total_steps": 1500, "evaluate_every_steps": 500, "checkpoint_every_steps": 500}
    study.axes.precision = ("float32", "bfloat16")
    study.axes.seed = tuple(range(5))
    study.compare = "precision"
    study.num_kept_samples = 16
    return base.finish(study, variant)
