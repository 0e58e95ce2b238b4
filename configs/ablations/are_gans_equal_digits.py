"""Are GANs created equal, on handwritten digits? The study of the triangles on the other data.

python -m experiments.ablate --config=configs/ablations/are_gans_equal_digits.py --workdir=runs/are_gans_equal_digits

420 members, 12 minutes of two free cores. Expect a squared Fréchet distance (real data 0.65) of 0.86 for DRAGAN, 0.91
for WGAN-GP, 0.98 for the relativistic one with R1, 1.1 for clipped Wasserstein and 1.6 for minimax, whose order five
seeds cannot tell; of 2.2 for non_saturating and 3.7 for least_squares, which lie behind. Lucic et al. found no such
order, with more settings and many more steps.
"""

from configs.ablations import are_gans_equal, base


def get_config(variant: str = ""):
    study = are_gans_equal.get_config().unlock()
    study.name = "are_gans_equal_digits"
    study.title = "Seven GANs on handwritten digits, each at twelve random settings"
    study.overrides.data = {"name": "digits"}
    study.overrides.evaluation = {"num_samples": 0}
    return base.finish(study, variant)
