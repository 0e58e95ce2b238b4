"""Proven losses of generative models, one training step for all families, and vmapped ablations."""
