"""Losses of diffusion, flow-matching and consistency models, and the weights and targets they are made of."""
