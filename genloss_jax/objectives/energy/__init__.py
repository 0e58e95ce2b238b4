"""Energy-based models: a Gaussian tilted by a network, and the ways to learn the tilt."""

from genloss_jax.objectives.energy._base import Base as Base
from genloss_jax.objectives.energy._base import fit_base as fit_base
from genloss_jax.objectives.energy._methods import Chains as Chains
from genloss_jax.objectives.energy._methods import Method as Method
from genloss_jax.objectives.energy._methods import Persistence as Persistence
from genloss_jax.objectives.energy._methods import contrastive_divergence as contrastive_divergence
from genloss_jax.objectives.energy._methods import denoising as denoising
from genloss_jax.objectives.energy._methods import joint as joint
from genloss_jax.objectives.energy._methods import noise_contrastive as noise_contrastive
from genloss_jax.objectives.energy._objective import energy as energy
from genloss_jax.objectives.energy._objective import log_normaliser as log_normaliser
