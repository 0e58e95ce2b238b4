"""What the weight of the divergence does to a VAE on handwritten digits (Higgins et al. 2017).

python -m experiments.ablate --config=configs/ablations/kl_weight.py --workdir=runs/kl_weight

35 members in 5 minutes of two cores. Expect the weights 1 and 2 ahead, Fréchet distances 3.3 and 3.1 (real against
real 0.65), and 9 to 10 at the ends, 0.1 and 8.
"""

from configs.ablations import base


def get_config(variant: str = ""):
    study = base.get_config()
    study.name = "kl_weight"
    study.title = "The weight of the divergence in a VAE of handwritten digits"
    study.modality = "image"
    study.base = "vae"
    study.axes.vae_beta = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    study.axes.seed = tuple(range(5))
    study.compare = "vae_beta"
    study.num_kept_samples = 16
    return base.finish(study, variant)
