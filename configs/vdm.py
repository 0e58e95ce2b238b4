"""A variational diffusion model of the digits: trained and measured by its bound (Kingma et al. 2021).

python -m experiments.train --config=configs/vdm.py --workdir=runs/vdm

About 11 minutes of processor time on one of two cores. Expect at most 1.89 ± 0.01 bits per dimension and a Fréchet
distance of 1.07 (real against real 0.65).
"""

from configs import base, edm_digits


def get_config(variant: str = ""):
    config = edm_digits.get_config()
    config.diffusion.process = "vdm"
    # Beyond, the noise is far below the 17 grey levels, which a network without Fourier features does not see.
    config.diffusion.log_snr_max = 7.0
    config.diffusion.sampler = "ancestral"
    config.diffusion.num_steps = 100
    return base.finish(config, variant)
