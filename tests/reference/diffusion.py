"""Diffusion and flow matching of Gaussians by linear regression and closed forms, in float64."""

import itertools

import numpy as np
from scipy import special


def regress(of_x, of_target, variances):
    """Predict target = Σ b_i w_i from x = Σ a_i w_i for independent Gaussians w_i about 0.

    Returns the slope of the best prediction, which is linear, and the variance that it leaves.
    """
    covariance = sum(a * b * v for a, b, v in zip(of_x, of_target, variances, strict=True))
    variance_x = sum(a * a * v for a, v in zip(of_x, variances, strict=True))
    variance_target = sum(b * b * v for b, v in zip(of_target, variances, strict=True))
    return covariance / variance_x, variance_target - covariance**2 / variance_x


def variance_preserving(log_snr):
    """Alpha and sigma of a log-SNR."""
    return np.sqrt(special.expit(log_snr)), np.sqrt(special.expit(-np.asarray(log_snr)))


def predictions(log_snr, variance):
    """Slope of the best prediction of each kind from x_t, and what it leaves, for Gaussian data about 0."""
    alpha, sigma = variance_preserving(log_snr)
    targets = {"data": (1.0, 0.0), "noise": (0.0, 1.0), "velocity": (-sigma, alpha), "score": (0.0, -1 / sigma)}
    return {kind: regress((alpha, sigma), target, (variance, 1.0)) for kind, target in targets.items()}


def diffusion_term(log_snr_first, log_snr_last, variance):
    """The continuous diffusion term of Gaussian data, per dimension, by the integral of the data's error over SNR."""
    return 0.5 * (np.logaddexp(0, np.log(variance) + log_snr_first) - np.logaddexp(0, np.log(variance) + log_snr_last))


def stepwise_diffusion_term(log_snrs, variance):
    """The diffusion term in steps between given log-SNRs (falling): each the KL of two Gaussian posteriors."""
    total = 0.0
    for before, after in itertools.pairwise(log_snrs):
        error = variance / (1 + variance * np.exp(after))  # of the data
        total += 0.5 * (np.exp(before) - np.exp(after)) * error
    return total


def gaussian_kl(mean_p, variance_p, mean_q, variance_q):
    """KL of two Gaussians on the line."""
    return 0.5 * (np.log(variance_q / variance_p) + (variance_p + (mean_p - mean_q) ** 2) / variance_q - 1)
