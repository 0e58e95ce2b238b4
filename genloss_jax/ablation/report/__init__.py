"""The report of a study: one self-contained page, and its short forms for a README."""

from genloss_jax.ablation.report._writing import Pages as Pages
from genloss_jax.ablation.report._writing import write as write
