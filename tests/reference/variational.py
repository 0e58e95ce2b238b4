"""Latent-variable models whose answers are known: probabilistic PCA, mixtures on a grid, quadrature. NumPy, float64."""

from typing import NamedTuple

import numpy as np
from scipy import integrate, special, stats


class LinearGaussian(NamedTuple):
    """Probabilistic PCA: z ~ N(0, I), x = weight z + shift + noise, noise ~ N(0, variance I)."""

    weight: np.ndarray  # [X, Z]
    shift: np.ndarray  # [X]
    variance: float

    @property
    def covariance(self):
        """Covariance of x."""
        return self.weight @ self.weight.T + self.variance * np.eye(len(self.shift))

    def log_evidence(self, x):
        """Log p(x) of `[N, X]`."""
        return stats.multivariate_normal(self.shift, self.covariance).logpdf(x)

    def posterior(self, x):
        """Mean `[N, Z]` and covariance `[Z, Z]` of p(z | x)."""
        inner = self.weight.T @ self.weight + self.variance * np.eye(self.weight.shape[1])
        return (x - self.shift) @ self.weight @ np.linalg.inv(inner), self.variance * np.linalg.inv(inner)

    def log_joint(self, x, z):
        """Log p(x, z) of x `[..., X]` and z `[..., Z]`."""
        noise = x - self.shift - z @ self.weight.T
        log_likelihood = stats.norm.logpdf(noise, scale=np.sqrt(self.variance)).sum(-1)
        return log_likelihood + stats.norm.logpdf(z).sum(-1)

    def expected_nll(self, x, mean, covariance):
        """Minus E log p(x | z) of `[N, X]` under z ~ N(mean_n, covariance)."""
        noise = x - self.shift - mean @ self.weight.T
        squares = np.sum(noise**2, -1) + np.trace(self.weight @ covariance @ self.weight.T)
        return 0.5 * (squares / self.variance + len(self.shift) * np.log(2 * np.pi * self.variance))

    def bound(self, x, mean, covariance):
        """Evidence lower bound of `[N, X]` at q = N(mean_n, covariance): log p(x) - KL(q || p(z | x))."""
        exact_mean, exact_covariance = self.posterior(x)
        gaps = [
            gaussian_kl(each, covariance, exact, exact_covariance) for each, exact in zip(mean, exact_mean, strict=True)
        ]
        return self.log_evidence(x) - np.array(gaps)


def plane_model():
    """Two latents, three observed; the latents' columns are orthogonal, so that posteriors are diagonal."""
    weight = np.array([[1.2, 0.3], [-0.6, 0.6], [0.4, 0.0]])
    assert abs(weight[:, 0] @ weight[:, 1]) < 1e-12
    return LinearGaussian(weight, np.array([0.5, -0.2, 0.1]), 0.4)


def line_model():
    """One latent, one observed: log-weights on the line."""
    return LinearGaussian(np.array([[0.8]]), np.array([0.3]), 0.5)


def principal_model(eigenvalues, vectors, num_latents):
    """Maximum-likelihood probabilistic PCA of a covariance with falling eigenvalues (Tipping and Bishop 1999)."""
    variance = np.mean(eigenvalues[num_latents:])
    weight = vectors[:, :num_latents] * np.sqrt(eigenvalues[:num_latents] - variance)
    return LinearGaussian(weight, np.zeros(len(eigenvalues)), variance)


def gaussian_kl(mean_q, cov_q, mean_p, cov_p):
    """KL of two Gaussians with full covariances, by determinants and inverses."""
    inverse, shift = np.linalg.inv(cov_p), mean_p - mean_q
    log_det = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
    return 0.5 * (np.trace(inverse @ cov_q) + shift @ inverse @ shift - len(mean_q) + log_det)


def chi_squared(mean_p, var_p, mean_q, var_q):
    """Integral of p² / q, less 1, for Gaussians on the line with 2 var_q > var_p."""
    room = 2 * var_q - var_p
    return var_q / np.sqrt(var_p * room) * np.exp((mean_p - mean_q) ** 2 / room) - 1


def kl_by_quadrature(log_q, log_p, low, high):
    """KL of two densities on an interval."""
    return integrate.quad(lambda z: np.exp(log_q(z)) * (log_q(z) - log_p(z)), low, high, limit=200, epsabs=1e-11)[0]


def von_mises_fisher_kl(concentration, dim):
    """KL of the von Mises-Fisher distribution from the uniform one, with SciPy's scaled Bessel functions."""
    order = dim / 2 - 1
    log_bessel = np.log(special.ive(order, concentration)) + concentration
    log_area = np.log(2) + dim / 2 * np.log(np.pi) - special.gammaln(dim / 2)
    log_constant = order * np.log(concentration) - dim / 2 * np.log(2 * np.pi) - log_bessel
    mean_cosine = special.ive(order + 1, concentration) / special.ive(order, concentration)
    return concentration * mean_cosine + log_constant + log_area


def hermite(num_nodes, dim=1):
    """Nodes `[N, dim]` and weights `[N]` of expectations under the standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(num_nodes)
    grids = np.meshgrid(*[nodes] * dim, indexing="ij")
    products = np.meshgrid(*[weights / weights.sum()] * dim, indexing="ij")
    return np.stack(grids, -1).reshape(-1, dim), np.prod(np.stack(products, -1).reshape(-1, dim), 1)


class PlaneMixture(NamedTuple):
    """The aggregate posterior of a few examples with two latents, integrated on a grid."""

    means: np.ndarray  # [N, 2]
    log_vars: np.ndarray  # [N, 2]

    def parts(self, reach=9.0, num_points=721):
        """Mutual information, total correlation and dimension-wise KL, from the densities on a grid."""
        line = np.linspace(-reach, reach, num_points)
        cell = line[1] - line[0]
        stds = np.exp(0.5 * self.log_vars)
        # [N, points] for each of the two latents
        own = [stats.norm.pdf(line[None], self.means[:, d, None], stds[:, d, None]) for d in range(2)]
        conditional = own[0][:, :, None] * own[1][:, None, :]
        joint = conditional.mean(0)
        margins = [density.mean(0) for density in own]
        product = margins[0][:, None] * margins[1][None]
        prior = stats.norm.pdf(line)

        def mean_log_ratio(density, other, volume):
            return np.sum(special.rel_entr(density, other)) * volume

        information = np.mean([mean_log_ratio(each, joint, cell**2) for each in conditional])
        return (
            information,
            mean_log_ratio(joint, product, cell**2),
            sum(mean_log_ratio(margin, prior, cell) for margin in margins),
        )
