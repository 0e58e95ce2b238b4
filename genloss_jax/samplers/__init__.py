"""Samplers as pure functions `(key, state) -> (state, info)`."""

from genloss_jax.samplers.march import MarchInfo as MarchInfo
from genloss_jax.samplers.march import MarchState as MarchState
from genloss_jax.samplers.march import run as run
from genloss_jax.samplers.march import start as start
from genloss_jax.samplers.march import stepper as stepper
from genloss_jax.samplers.ode import estimated_divergence as estimated_divergence
from genloss_jax.samplers.ode import exact_divergence as exact_divergence
from genloss_jax.samplers.ode import flow_log_prob as flow_log_prob
from genloss_jax.samplers.ode import ode as ode
from genloss_jax.samplers.sde import ancestral as ancestral
from genloss_jax.samplers.sde import euler_maruyama as euler_maruyama
