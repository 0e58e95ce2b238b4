"""A Soft-IntroVAE on the digits, with logistic noise over the 17 grey levels (Daniel and Tamar 2021).

python -m experiments.train --config=configs/soft_intro_vae.py --workdir=runs/soft_intro_vae

Half a minute of processor time. Expect 2.02 bits per dimension (a bound by 64 latents), Fréchet distance 4.3: no
better than `vae`. A heavier game costs modes: at adversarial_weight = 0.5 the recall falls to 0.01.
"""

from configs import base, vae


def get_config(variant: str = ""):
    config = base.with_players(vae.get_config(), encoder=True, decoder=True)
    config.family = "adversarial_autoencoder"
    own = config.adversarial_autoencoder
    own.method = "soft_intro_vae"
    own.adversarial_weight = 0.1
    own.alpha = 0.01
    own.gamma = 1.0
    own.negative_beta = 4.0
    config.training.total_steps = 1000
    return base.finish(config, variant)
