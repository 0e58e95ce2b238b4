"""Negative log-likelihoods of data under output distributions, in nats per example."""
