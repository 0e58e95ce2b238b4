"""Denoising diffusion, flow matching, and models that leap: processes, and the objectives made of them."""

from genloss_jax.objectives.diffusion._leaps import consistency as consistency
from genloss_jax.objectives.diffusion._leaps import mean_flow as mean_flow
from genloss_jax.objectives.diffusion._objective import diffusion as diffusion
from genloss_jax.objectives.diffusion._process import Process as Process
from genloss_jax.objectives.diffusion._processes import ddpm as ddpm
from genloss_jax.objectives.diffusion._processes import edm as edm
from genloss_jax.objectives.diffusion._processes import flow_matching as flow_matching
from genloss_jax.objectives.diffusion._processes import vdm as vdm
from genloss_jax.objectives.diffusion._reflow import rectified_flow as rectified_flow
