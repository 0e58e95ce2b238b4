"""Negative log-likelihoods of data under output distributions, in nats per example."""

from genloss_jax.losses.likelihood._binary import bernoulli_nll as bernoulli_nll
from genloss_jax.losses.likelihood._binary import continuous_bernoulli_nll as continuous_bernoulli_nll
from genloss_jax.losses.likelihood._categorical import categorical_nll as categorical_nll
from genloss_jax.losses.likelihood._categorical import label_smoothed_nll as label_smoothed_nll
from genloss_jax.losses.likelihood._categorical import previous_labels as previous_labels
from genloss_jax.losses.likelihood._categorical import unlikelihood_loss as unlikelihood_loss
from genloss_jax.losses.likelihood._categorical import z_loss as z_loss
from genloss_jax.losses.likelihood._counts import poisson_nll as poisson_nll
from genloss_jax.losses.likelihood._discretized import (
    discretized_logistic_mixture_nll as discretized_logistic_mixture_nll,
)
from genloss_jax.losses.likelihood._discretized import discretized_logistic_nll as discretized_logistic_nll
from genloss_jax.losses.likelihood._discretized import from_bins as from_bins
from genloss_jax.losses.likelihood._discretized import to_bins as to_bins
from genloss_jax.losses.likelihood._location_scale import gaussian_mixture_nll as gaussian_mixture_nll
from genloss_jax.losses.likelihood._location_scale import gaussian_nll as gaussian_nll
from genloss_jax.losses.likelihood._location_scale import laplace_nll as laplace_nll
from genloss_jax.losses.likelihood._location_scale import optimal_sigma_nll as optimal_sigma_nll
from genloss_jax.losses.likelihood._location_scale import student_t_nll as student_t_nll
from genloss_jax.losses.likelihood._units import bits_per_dim as bits_per_dim
from genloss_jax.losses.likelihood._units import mu_law_decode as mu_law_decode
from genloss_jax.losses.likelihood._units import mu_law_encode as mu_law_encode
