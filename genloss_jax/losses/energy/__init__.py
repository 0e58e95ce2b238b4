"""Losses of energy-based models. Energies are low on data: p(x) ∝ exp(-E(x)), and the score is -∇E."""

from genloss_jax.losses.energy._discrete import minimum_probability_flow_loss as minimum_probability_flow_loss
from genloss_jax.losses.energy._discrete import pseudo_likelihood_loss as pseudo_likelihood_loss
from genloss_jax.losses.energy._discrete import ratio_matching_loss as ratio_matching_loss
from genloss_jax.losses.energy._noise import conditional_noise_contrastive_loss as conditional_noise_contrastive_loss
from genloss_jax.losses.energy._noise import energy_discrepancy_loss as energy_discrepancy_loss
from genloss_jax.losses.energy._noise import noise_contrastive_loss as noise_contrastive_loss
from genloss_jax.losses.energy._samples import CooperativeLosses as CooperativeLosses
from genloss_jax.losses.energy._samples import contrastive_divergence_loss as contrastive_divergence_loss
from genloss_jax.losses.energy._samples import cooperative_losses as cooperative_losses
from genloss_jax.losses.energy._samples import energy_magnitude_penalty as energy_magnitude_penalty
from genloss_jax.losses.energy._samples import joint_energy as joint_energy
from genloss_jax.losses.energy._samples import joint_energy_loss as joint_energy_loss
from genloss_jax.losses.energy._samples import recovery_energy as recovery_energy
from genloss_jax.losses.energy._samples import recovery_likelihood_loss as recovery_likelihood_loss
from genloss_jax.losses.energy._score import denoising_score_matching_loss as denoising_score_matching_loss
from genloss_jax.losses.energy._score import kernel_stein_discrepancy_squared as kernel_stein_discrepancy_squared
from genloss_jax.losses.energy._score import score_matching_loss as score_matching_loss
from genloss_jax.losses.energy._score import sliced_score_matching_loss as sliced_score_matching_loss
from genloss_jax.losses.energy._variational import f_ebm_loss as f_ebm_loss
from genloss_jax.losses.energy._variational import f_ebm_ratio_loss as f_ebm_ratio_loss
from genloss_jax.losses.energy._variational import variational_entropy_loss as variational_entropy_loss
