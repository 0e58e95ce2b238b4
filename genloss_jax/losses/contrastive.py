"""Contrastive losses, the conditional ones of GANs, and bounds on mutual information."""
