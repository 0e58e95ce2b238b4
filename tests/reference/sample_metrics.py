"""Independent answers for metrics of samples: textbook formulas in NumPy and SciPy, slow and plain."""

import numpy as np
from scipy import linalg
from scipy.spatial import cKDTree


def frechet(real, fake):
    cov_real, cov_fake = np.cov(real.T), np.cov(fake.T)
    root = linalg.sqrtm(cov_real @ cov_fake).real
    return np.sum((real.mean(0) - fake.mean(0)) ** 2) + np.trace(cov_real + cov_fake - 2 * root)


def polynomial_mmd_squared(real, fake):
    def kernel(x, y):
        return (float(x @ y) / len(x) + 1) ** 3

    def between(xs, ys):
        return np.mean([kernel(x, y) for x in xs for y in ys])

    def within(xs):
        return np.mean([kernel(x, y) for i, x in enumerate(xs) for j, y in enumerate(xs) if i != j])

    return within(real) + within(fake) - 2 * between(real, fake)


def precision_recall_density_coverage(real, fake, k):
    def radii(points):
        return cKDTree(points).query(points, k + 1)[0][:, k]

    def members(points, centers, radii):
        """For each ball the points that it holds."""
        return cKDTree(points).query_ball_point(centers, radii)

    in_real, in_fake = members(fake, real, radii(real)), members(real, fake, radii(fake))
    return (
        len(set().union(*in_real)) / len(fake),
        len(set().union(*in_fake)) / len(real),
        sum(len(ball) for ball in in_real) / (k * len(fake)),
        sum(len(ball) > 0 for ball in in_real) / len(real),
    )
