"""Losses of models with latent variables: divergences, evidence bounds, regularisers, discrete codes."""
