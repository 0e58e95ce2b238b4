"""Losses of energy-based models. Energies are low on data: p(x) ∝ exp(-E(x)), and the score is -∇E."""
