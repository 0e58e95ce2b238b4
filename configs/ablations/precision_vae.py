"""Does a VAE whose networks compute in bfloat16 train as well as one in float32?

python -m experiments.ablate --config=configs/ablations/precision_vae.py --workdir=runs/precision_vae
"""

from configs.ablations import precision


def get_config(variant: str = ""):
    study = precision.get_config(variant).copy_and_resolve_references()
    study.name = "precision_vae"
    study.title = "bfloat16 and float32 in a VAE of handwritten digits"
    study.base = "vae"
    study.overrides = {}
    return study.lock()
