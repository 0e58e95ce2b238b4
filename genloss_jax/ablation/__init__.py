"""Ablations: what a study leaves on disk, and what can be said about it."""

from genloss_jax.ablation import statistics as statistics
from genloss_jax.ablation.results import Results as Results
from genloss_jax.ablation.results import load as load
