"""Denoising diffusion, flow matching, few-step models and masked diffusion.

Diffusion's time runs from data to noise, and its log signal-to-noise ratio falls with it. Flow matching's time runs
from noise at t = 0 to data at t = 1. Log-SNRs between -80 and 80 are safe in single precision: e^λ neither under- nor
overflows there.
"""

from genloss_jax.losses.diffusion._coupling import entropic_transport as entropic_transport
from genloss_jax.losses.diffusion._coupling import independent as independent
from genloss_jax.losses.diffusion._coupling import optimal_transport as optimal_transport
from genloss_jax.losses.diffusion._denoising import VariationalBoundTerms as VariationalBoundTerms
from genloss_jax.losses.diffusion._denoising import denoising_loss as denoising_loss
from genloss_jax.losses.diffusion._denoising import discrete_reconstruction_nll as discrete_reconstruction_nll
from genloss_jax.losses.diffusion._denoising import edm_loss as edm_loss
from genloss_jax.losses.diffusion._denoising import gaussian_reconstruction_nll as gaussian_reconstruction_nll
from genloss_jax.losses.diffusion._denoising import variational_bound_terms as variational_bound_terms
from genloss_jax.losses.diffusion._denoising import vdm_loss as vdm_loss
from genloss_jax.losses.diffusion._discrete import linear_alpha as linear_alpha
from genloss_jax.losses.diffusion._discrete import masked_diffusion_loss as masked_diffusion_loss
from genloss_jax.losses.diffusion._few_step import consistency_loss as consistency_loss
from genloss_jax.losses.diffusion._few_step import mean_flow_loss as mean_flow_loss
from genloss_jax.losses.diffusion._flow import FlowPoint as FlowPoint
from genloss_jax.losses.diffusion._flow import bridge_gamma as bridge_gamma
from genloss_jax.losses.diffusion._flow import flow_matching_loss as flow_matching_loss
from genloss_jax.losses.diffusion._flow import flow_matching_path as flow_matching_path
from genloss_jax.losses.diffusion._flow import rectified_flow as rectified_flow
from genloss_jax.losses.diffusion._flow import stochastic_interpolant as stochastic_interpolant
from genloss_jax.losses.diffusion._schedules import cosine_log_snr as cosine_log_snr
from genloss_jax.losses.diffusion._schedules import karras_log_snr as karras_log_snr
from genloss_jax.losses.diffusion._schedules import linear_beta_log_snr as linear_beta_log_snr
from genloss_jax.losses.diffusion._schedules import linear_log_snr as linear_log_snr
from genloss_jax.losses.diffusion._schedules import linear_path_log_snr as linear_path_log_snr
from genloss_jax.losses.diffusion._schedules import logit_normal_times as logit_normal_times
from genloss_jax.losses.diffusion._schedules import lognormal_sigmas as lognormal_sigmas
from genloss_jax.losses.diffusion._schedules import noise_to_signal as noise_to_signal
from genloss_jax.losses.diffusion._schedules import stratified_times as stratified_times
from genloss_jax.losses.diffusion._targets import Coefficients as Coefficients
from genloss_jax.losses.diffusion._targets import alpha_sigma as alpha_sigma
from genloss_jax.losses.diffusion._targets import convert_prediction as convert_prediction
from genloss_jax.losses.diffusion._targets import diffuse as diffuse
from genloss_jax.losses.diffusion._targets import prediction_target as prediction_target
from genloss_jax.losses.diffusion._weights import Preconditioning as Preconditioning
from genloss_jax.losses.diffusion._weights import adaptive_weight as adaptive_weight
from genloss_jax.losses.diffusion._weights import consistency_preconditioning as consistency_preconditioning
from genloss_jax.losses.diffusion._weights import convert_weight as convert_weight
from genloss_jax.losses.diffusion._weights import edm_preconditioning as edm_preconditioning
from genloss_jax.losses.diffusion._weights import edm_weight as edm_weight
from genloss_jax.losses.diffusion._weights import min_snr_weight as min_snr_weight
from genloss_jax.losses.diffusion._weights import p2_weight as p2_weight
from genloss_jax.losses.diffusion._weights import precondition as precondition
from genloss_jax.losses.diffusion._weights import sigmoid_weight as sigmoid_weight
