"""Samplers as pure functions `(key, state) -> (state, info)`."""

from genloss_jax.samplers._chains import EnergyFn as EnergyFn
from genloss_jax.samplers._chains import TransitionInfo as TransitionInfo
from genloss_jax.samplers.ais import AISState as AISState
from genloss_jax.samplers.ais import ais as ais
from genloss_jax.samplers.ais import ais_start as ais_start
from genloss_jax.samplers.hmc import hmc as hmc
from genloss_jax.samplers.hmc import leapfrog as leapfrog
from genloss_jax.samplers.langevin import annealed_langevin as annealed_langevin
from genloss_jax.samplers.langevin import langevin as langevin
from genloss_jax.samplers.langevin import mala as mala
from genloss_jax.samplers.loop import Step as Step
from genloss_jax.samplers.loop import run as run
from genloss_jax.samplers.march import MarchInfo as MarchInfo
from genloss_jax.samplers.march import MarchState as MarchState
from genloss_jax.samplers.march import start as start
from genloss_jax.samplers.march import stepper as stepper
from genloss_jax.samplers.ode import estimated_divergence as estimated_divergence
from genloss_jax.samplers.ode import exact_divergence as exact_divergence
from genloss_jax.samplers.ode import flow_log_prob as flow_log_prob
from genloss_jax.samplers.ode import ode as ode
from genloss_jax.samplers.replay import ReplayInfo as ReplayInfo
from genloss_jax.samplers.replay import replay as replay
from genloss_jax.samplers.sde import ancestral as ancestral
from genloss_jax.samplers.sde import euler_maruyama as euler_maruyama
