"""Divergences of two Gaussians on the line in closed form, and a quadrature to meet them with."""

import numpy as np
from scipy import stats


def gaussian_kl(mean_p, std_p, mean_q, std_q):
    """KL(p || q)."""
    return np.log(std_q / std_p) + (std_p**2 + (mean_p - mean_q) ** 2) / (2 * std_q**2) - 0.5


def gaussian_alpha_divergence(mean_p, std_p, mean_q, std_q, alpha):
    """(∫ p^alpha q^(1 - alpha) dx - 1) / (alpha (alpha - 1)), finite where the mixed variance is positive."""
    if alpha == 0:
        return gaussian_kl(mean_q, std_q, mean_p, std_p)
    if alpha == 1:
        return gaussian_kl(mean_p, std_p, mean_q, std_q)
    variance = alpha * std_q**2 + (1 - alpha) * std_p**2
    assert variance > 0
    exponent = -0.5 * alpha * (1 - alpha) * (mean_p - mean_q) ** 2 / variance
    overlap = std_p ** (1 - alpha) * std_q**alpha / np.sqrt(variance) * np.exp(exponent)
    return (overlap - 1) / (alpha * (alpha - 1))


def gaussian_grid(mean, std, reach=30.0, num_points=20_001):
    """Points and their masses under a Gaussian: the trapezoidal rule, exact to rounding for smooth integrands."""
    points = np.linspace(mean - reach * std, mean + reach * std, num_points)
    return points, stats.norm.pdf(points, mean, std) * (points[1] - points[0])
