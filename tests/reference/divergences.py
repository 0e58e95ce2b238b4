"""Divergences by other roads: closed forms of Gaussians, linear programs, SciPy's matrix roots, all in float64."""

import numpy as np
from scipy import linalg, optimize, stats


def gaussian_rbf_mmd_squared(mean_x, cov_x, mean_y, cov_y, lengthscale):
    """MMD² of two Gaussians under the Gaussian kernel."""

    def expected_kernel(mean, cov):
        dim = len(mean)
        wide = lengthscale**2 * np.eye(dim) + cov
        return lengthscale**dim / np.sqrt(linalg.det(wide)) * np.exp(-0.5 * mean @ linalg.solve(wide, mean))

    zero = np.zeros(len(mean_x))
    same = expected_kernel(zero, 2 * cov_x) + expected_kernel(zero, 2 * cov_y)
    return same - 2 * expected_kernel(mean_x - mean_y, cov_x + cov_y)


def gaussian_energy_squared(mean_x, std_x, mean_y, std_y):
    """Squared energy distance of two Gaussians on the line."""

    def expected_distance(mean, std):
        return std * np.sqrt(2 / np.pi) * np.exp(-(mean**2) / (2 * std**2)) + mean * (
            1 - 2 * stats.norm.cdf(-mean / std)
        )

    between = expected_distance(mean_x - mean_y, np.hypot(std_x, std_y))
    return 2 * between - expected_distance(0, np.sqrt(2) * std_x) - expected_distance(0, np.sqrt(2) * std_y)


def gaussian_wasserstein_squared(mean_x, cov_x, mean_y, cov_y):
    """W2² of two Gaussians, with SciPy's root of the non-symmetric product."""
    return np.sum((mean_x - mean_y) ** 2) + np.trace(cov_x + cov_y - 2 * np.real(linalg.sqrtm(cov_x @ cov_y)))


def transport_cost(x, y):
    """W2² of two equally weighted batches `[N, D]` and `[M, D]`, as a linear program over plans."""
    num_x, num_y = len(x), len(y)
    cost = np.sum((x[:, None] - y[None]) ** 2, -1)
    rows = np.kron(np.eye(num_x), np.ones(num_y))
    columns = np.kron(np.ones(num_x), np.eye(num_y))
    marginals = np.concatenate([np.full(num_x, 1 / num_x), np.full(num_y, 1 / num_y)])
    plan = optimize.linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=marginals)
    return plan.fun


def sliced_costs_of_the_plane(x, y, num_angles):
    """W2² along `num_angles` directions of the plane, for equally large batches."""
    angles = np.linspace(0, np.pi, num_angles, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    return np.mean((np.sort(x @ directions, 0) - np.sort(y @ directions, 0)) ** 2, 0)


def gaussian_f_divergences(mean_p, std_p, mean_q, std_q):
    """f-divergences of two Gaussians on the line that have a closed form (Hellinger's without its ½)."""

    def kl(m1, s1, m2, s2):
        return np.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5

    def chi_squared(m1, s1, m2, s2):  # of p² / q, finite for 2 s2² > s1²
        room = 2 * s2**2 - s1**2
        return s2**2 / (s1 * np.sqrt(room)) * np.exp((m1 - m2) ** 2 / room) - 1

    forward, backward = (mean_p, std_p, mean_q, std_q), (mean_q, std_q, mean_p, std_p)
    variances = std_p**2 + std_q**2
    affinity = np.sqrt(2 * std_p * std_q / variances) * np.exp(-((mean_p - mean_q) ** 2) / (4 * variances))
    return {
        "kl": kl(*forward),
        "reverse_kl": kl(*backward),
        "jeffreys": kl(*forward) + kl(*backward),
        "pearson": chi_squared(*forward),
        "neyman": chi_squared(*backward),
        "squared_hellinger": 2 - 2 * affinity,
    }


def entropic_plan(costs, epsilon, num_iterations):
    """The entropic plan of uniform marginals by plain Sinkhorn iterations on the kernel."""
    kernel = np.exp(-(costs - costs.min()) / epsilon)
    columns = np.ones(costs.shape[1])
    for _ in range(num_iterations):
        rows = 1 / (costs.shape[0] * (kernel @ columns))
        columns = 1 / (costs.shape[1] * (kernel.T @ rows))
    return rows[:, None] * kernel * columns[None]


def entropic_cost(x, y, epsilon, num_iterations=20_000):
    """Primal value of entropic transport with the squared distance."""
    costs = np.sum((x[:, None] - y[None]) ** 2, -1)
    plan = entropic_plan(costs, epsilon, num_iterations)
    return np.sum(plan * costs) + epsilon * np.sum(plan * np.log(plan * plan.size))


def gaussian_sinkhorn_divergence(mean_x, std_x, mean_y, std_y, epsilon):
    """Sinkhorn divergence of two Gaussians on the line (Janati et al. 2020), squared distance as cost."""
    variance = epsilon / 2

    def cost(shift, a, b):
        root = np.sqrt(4 * a * b + variance**2)
        return shift**2 + a + b - root + variance * (1 - np.log(2 * variance)) + variance * np.log(root + variance)

    a, b = std_x**2, std_y**2
    return cost(mean_x - mean_y, a, b) - 0.5 * cost(0, a, a) - 0.5 * cost(0, b, b)
