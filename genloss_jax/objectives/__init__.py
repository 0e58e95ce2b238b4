"""Families of generative models: networks and losses become an `Objective`."""

from genloss_jax import _parts
from genloss_jax.objectives import adversarial_autoencoder as adversarial_autoencoder
from genloss_jax.objectives.autoregressive import autoregressive as autoregressive
from genloss_jax.objectives.configured import FAMILIES as FAMILIES
from genloss_jax.objectives.configured import from_config as from_config
from genloss_jax.objectives.diffusion import Process as Process
from genloss_jax.objectives.diffusion import consistency as consistency
from genloss_jax.objectives.diffusion import ddpm as ddpm
from genloss_jax.objectives.diffusion import diffusion as diffusion
from genloss_jax.objectives.diffusion import edm as edm
from genloss_jax.objectives.diffusion import flow_matching as flow_matching
from genloss_jax.objectives.diffusion import mean_flow as mean_flow
from genloss_jax.objectives.diffusion import rectified_flow as rectified_flow
from genloss_jax.objectives.diffusion import vdm as vdm
from genloss_jax.objectives.energy import energy as energy
from genloss_jax.objectives.flow import flow as flow
from genloss_jax.objectives.gan import Inputs as Inputs
from genloss_jax.objectives.gan import Penalty as Penalty
from genloss_jax.objectives.gan import Turn as Turn
from genloss_jax.objectives.gan import gan as gan
from genloss_jax.objectives.gan import stateless as stateless
from genloss_jax.objectives.hvae import hvae as hvae
from genloss_jax.objectives.objective import Objective as Objective
from genloss_jax.objectives.objective import Variables as Variables
from genloss_jax.objectives.objective import mean as mean
from genloss_jax.objectives.vae import vae as vae
from genloss_jax.objectives.vq_vae import Codes as Codes
from genloss_jax.objectives.vq_vae import vq_vae as vq_vae

parts = _parts
