"""Energies solved by other roads: Gaussians on paper, quadrature, enumeration of bits, all in float64."""

import itertools

import numpy as np
from scipy import integrate, special, stats


def normal_nodes(mean, std, num):
    """Gauss-Hermite nodes and weights of a Gaussian: the weighted sum is the expectation."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(num)
    return mean + std * nodes, weights / weights.sum()


def langevin_variance(variance, precision, step, num_steps):
    """Variance of x after steps x <- x - step/2 precision x + sqrt(step) noise from N(0, variance)."""
    for _ in range(num_steps):
        variance = (1 - step * precision / 2) ** 2 * variance + step
    return variance


def noise_contrastive_minimum(data, noise, ratio):
    """Least expected loss of a classifier that sees `ratio` times more noise: its conditional entropy."""

    def integrand(x):
        p, q = data.pdf(x), ratio * noise.pdf(x)
        return special.entr(p) + special.entr(q) - special.entr(p + q)

    return integrate.quad(integrand, -30, 30, points=[0.0], limit=200)[0]


def jensen_shannon(data, noise):
    """Jensen-Shannon divergence of two densities on the line, between 0 and log 2."""

    def integrand(x):
        p, q = data.pdf(x), noise.pdf(x)
        return special.entr((p + q) / 2) - special.entr(p) / 2 - special.entr(q) / 2

    return integrate.quad(integrand, -30, 30, points=[0.0], limit=200)[0]


def swapped_jensen_shannon(data, transition, num=1201, width=12.0):
    """Jensen-Shannon divergence of p(x)c(y|x) and p(y)c(x|y), on a grid of the plane."""
    x = np.linspace(-width, width, num)
    p = data.pdf(x)[:, None] * transition(x[:, None]).pdf(x[None])
    terms = special.entr((p + p.T) / 2) - special.entr(p) / 2 - special.entr(p.T) / 2
    return terms.sum() * (x[1] - x[0]) ** 2


def gaussian_energy_discrepancy(precision, variance, sigma):
    """Energy discrepancy of E = precision x²/2 on N(0, variance): E minus the blurred energy, both in the mean."""
    gain = 1 + precision * sigma**2
    blurred = 0.5 * np.log(gain) + precision * (variance + sigma**2) / (2 * gain)
    return precision * variance / 2 - blurred


def bit_states(num_bits):
    """All states of bits, in binary order."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=num_bits)))


def conditionals(probabilities, num_bits):
    """p(x_d | x_-d) of every state (rows) and bit (columns), by summing the table."""
    table = np.asarray(probabilities).reshape((2,) * num_bits)
    return np.stack([(table / table.sum(d, keepdims=True)).ravel() for d in range(num_bits)], 1)


def rbm_negative_log_likelihood(weights, visible_bias, hidden_bias, data_probabilities):
    """Mean -log p(v) of a restricted Boltzmann machine, by enumerating visible and hidden states."""
    visible, hidden = bit_states(len(visible_bias)), bit_states(len(hidden_bias))
    joint = visible @ weights @ hidden.T + (visible @ visible_bias)[:, None] + (hidden @ hidden_bias)[None]
    log_p = special.logsumexp(joint, 1) - special.logsumexp(joint)
    return -data_probabilities @ log_p


def central_differences(fn, arrays, step=1e-5):
    """Gradient of a scalar function with respect to each of several arrays."""
    gradients = []
    for position, array in enumerate(arrays):
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            values = []
            for sign in (1, -1):
                moved = [each.copy() for each in arrays]
                moved[position][index] += sign * step
                values.append(fn(*moved))
            gradient[index] = (values[0] - values[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


GENERATORS = {
    "kl": lambda u: u * np.log(u),
    "reverse_kl": lambda u: -np.log(u),
    "jensen_shannon": lambda u: u * np.log(u) - (u + 1) * np.log((1 + u) / 2),
    "gan": lambda u: u * np.log(u) - (u + 1) * np.log(1 + u),
    "pearson": lambda u: (u - 1) ** 2,
    "neyman": lambda u: (1 - u) ** 2 / u,
    "squared_hellinger": lambda u: (np.sqrt(u) - 1) ** 2,
    "jeffreys": lambda u: (u - 1) * np.log(u),
}


def f_divergence(p, q, name):
    """D_f(p || q) = sum q f(p/q) on finitely many points."""
    return np.sum(q * GENERATORS[name](p / q))


def reverse_kl_less_log_normaliser(precision, variance):
    """E_q[E + log q] for q = N(0, variance) and E = precision x²/2."""
    return precision * variance / 2 - stats.norm(0, np.sqrt(variance)).entropy()
