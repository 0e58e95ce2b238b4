"""Are GANs created equal, on handwritten digits? The study of the triangles on the other data.

python -m experiments.ablate --config=configs/ablations/are_gans_equal_digits.py --workdir=runs/are_gans_equal_digits
"""

from configs.ablations import are_gans_equal, base


def get_config(variant: str = ""):
    study = are_gans_equal.get_config().unlock()
    study.name = "are_gans_equal_digits"
    study.title = "Seven GANs on handwritten digits, each at twelve random settings"
    study.overrides.data = {"name": "digits"}
    study.overrides.evaluation = {"num_samples": 0}
    return base.finish(study, variant)
