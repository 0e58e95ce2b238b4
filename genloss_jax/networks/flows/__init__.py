"""Normalizing flows: invertible maps whose log-determinant is cheap, as pure functions."""

from genloss_jax.networks.flows.autoregressive import MADE as MADE
from genloss_jax.networks.flows.autoregressive import autoregressive as autoregressive
from genloss_jax.networks.flows.convolutional import ConvConditioner as ConvConditioner
from genloss_jax.networks.flows.convolutional import invertible_linear as invertible_linear
from genloss_jax.networks.flows.convolutional import squeeze as squeeze
from genloss_jax.networks.flows.coupling import MLPConditioner as MLPConditioner
from genloss_jax.networks.flows.coupling import coupling as coupling
from genloss_jax.networks.flows.elementary import activation_norm as activation_norm
from genloss_jax.networks.flows.elementary import permutation as permutation
from genloss_jax.networks.flows.elementary import reshape as reshape
from genloss_jax.networks.flows.elementary import reverse as reverse
from genloss_jax.networks.flows.flow import Flow as Flow
from genloss_jax.networks.flows.flow import chain as chain
from genloss_jax.networks.flows.registry import FlowConfig as FlowConfig
from genloss_jax.networks.flows.registry import flow as flow
from genloss_jax.networks.flows.transformers import Transformer as Transformer
from genloss_jax.networks.flows.transformers import affine as affine
from genloss_jax.networks.flows.transformers import rational_quadratic_spline as rational_quadratic_spline
