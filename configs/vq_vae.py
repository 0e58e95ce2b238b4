"""An autoencoder with a codebook on the digits, and a transformer over its codes (van den Oord et al. 2017).

python -m experiments.train --config=configs/vq_vae.py --workdir=runs/vq_vae

One minute of processor time. Expect at most 2.26 ± 0.02 bits per dimension, a bound by the encoder's codes alone, and a
Fréchet distance of 1.8 (real against real 0.65). Twice the width and 2500 steps sharpen samples, and overfit.
"""

from configs import base


def get_config(variant: str = ""):
    config = base.single_player(base.get_config())
    config.family = "vq_vae"
    config.players.prior = base.player(averaged=True)
    config.networks.name = "mlp"
    config.networks.width = 128
    config.networks.depth = 2
    config.networks.normalization = "none"
    config.autoregressive.dropout = 0.2
    config.optimizer.learning_rate = 1e-3
    config.optimizer.b1 = 0.9
    config.schedule.anneal.learning_rate = base.path("cosine", 0.0)
    config.schedule.ema_decay = 0.999
    config.training.total_steps = 1000
    config.training.evaluate_every_steps = 500
    config.training.steps_per_dispatch = 50
    return base.finish(config, variant)
