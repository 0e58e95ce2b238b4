"""Losses of normalizing flows: change of variables, dequantisation, and divergences between densities."""
