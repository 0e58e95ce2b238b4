"""Contrastive losses by loops over examples, and information of small joint distributions, all in float64."""

import numpy as np
from scipy import special, stats
from scipy.spatial.distance import jensenshannon


def unit(rows):
    """Scale rows to length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def nt_xent(x, y, temperature):
    """NT-Xent per example, by the list of all views."""
    views, num = unit(np.concatenate([x, y])), len(x)
    losses = []
    for i in range(2 * num):
        others = [k for k in range(2 * num) if k != i]
        logits = views[others] @ views[i] / temperature
        losses.append(-special.log_softmax(logits)[others.index((i + num) % (2 * num))])
    return np.mean(np.reshape(losses, (2, num)), 0)


def supervised(x, labels, temperature):
    """Supervised contrastive loss per example, the mean over positives outside the logarithm."""
    rows, losses = unit(x), []
    for i in range(len(x)):
        others = [k for k in range(len(x)) if k != i]
        log_p = special.log_softmax(rows[others] @ rows[i] / temperature)
        chosen = [log_p[position] for position, k in enumerate(others) if labels[k] == labels[i]]
        losses.append(-np.mean(chosen) if chosen else 0.0)
    return np.array(losses)


def clip(x, y, scale):
    """CLIP's loss per example, both directions."""
    logits = scale * unit(x) @ unit(y).T
    return -0.5 * (np.diag(special.log_softmax(logits, 1)) + np.diag(special.log_softmax(logits, 0)))


def siglip(x, y, scale, bias):
    """SigLIP's loss per image: binary cross-entropies of all texts."""
    probabilities = special.expit(scale * unit(x) @ unit(y).T + bias)
    belongs = np.eye(len(x), dtype=bool)
    return -np.log(np.where(belongs, probabilities, 1 - probabilities)).sum(1)


def conditional(x, classes, labels, temperature):
    """ContraGAN's loss per example."""
    rows, class_rows, losses = unit(x), unit(classes), []
    for i in range(len(x)):
        numerator = denominator = np.exp(rows[i] @ class_rows[i] / temperature)
        for k in range(len(x)):
            if k != i:
                term = np.exp(rows[i] @ rows[k] / temperature)
                denominator += term
                numerator += term * (labels[k] == labels[i])
        losses.append(-np.log(numerator / denominator))
    return np.array(losses)


def data_to_data(x, classes, labels, temperature, positive_margin, negative_margin):
    """ReACGAN's loss per example."""
    rows, class_rows, losses = unit(x), unit(classes), []
    for i in range(len(x)):
        positive = np.exp(min(rows[i] @ class_rows[i] - positive_margin, 0) / temperature)
        negatives = [
            np.exp(max(rows[i] @ rows[k] - negative_margin, 0) / temperature)
            for k in range(len(x))
            if labels[k] != labels[i]
        ]
        losses.append(-np.log(positive / (positive + np.sum(negatives))))
    return np.array(losses)


def mutual_information(joint):
    """I(x; y) of a table of joint probabilities."""
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    return stats.entropy(joint.ravel(), independent.ravel())


def twice_jensen_shannon(joint):
    """2 JSD of joint and independent pairs."""
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    return 2 * jensenshannon(joint.ravel(), independent.ravel()) ** 2


def information_of_the_order(joint):
    """How much x tells about which of two y is its own: the most that InfoNCE can reach with two candidates."""
    p_x, p_y = joint.sum(1), joint.sum(0)
    orders = [np.outer(row / row.sum(), p_y) for row in joint]
    return sum(p * jensenshannon(order.ravel(), order.T.ravel()) ** 2 for p, order in zip(p_x, orders, strict=True))
