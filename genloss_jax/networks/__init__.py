"""Networks as pairs of pure functions: architectures by name, and adapters for any Flax module."""

from genloss_jax.networks import autoregressive as autoregressive
from genloss_jax.networks import convolution as convolution
from genloss_jax.networks import flows as flows
from genloss_jax.networks import initializers as initializers
from genloss_jax.networks.adapters import from_linen as from_linen
from genloss_jax.networks.adapters import from_nnx as from_nnx
from genloss_jax.networks.autoencoder import autoencoder as autoencoder
from genloss_jax.networks.autoencoder import feature_critic as feature_critic
from genloss_jax.networks.denoiser import denoiser as denoiser
from genloss_jax.networks.mlp import MLP as MLP
from genloss_jax.networks.network import Network as Network
from genloss_jax.networks.network import from_function as from_function
from genloss_jax.networks.network import in_precision as in_precision
from genloss_jax.networks.registry import ARCHITECTURES as ARCHITECTURES
from genloss_jax.networks.registry import NetworkConfig as NetworkConfig
from genloss_jax.networks.registry import classifier as classifier
from genloss_jax.networks.registry import critic as critic
from genloss_jax.networks.registry import decoder as decoder
from genloss_jax.networks.registry import encoder as encoder
from genloss_jax.networks.registry import generator as generator
from genloss_jax.networks.registry import pair as pair
