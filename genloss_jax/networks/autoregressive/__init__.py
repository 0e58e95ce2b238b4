"""Networks whose output at each place of an example depends on the places before it only."""

from genloss_jax.networks.autoregressive.image_gpt import ImageGPT as ImageGPT
from genloss_jax.networks.autoregressive.pixelcnn import PixelCNN as PixelCNN
from genloss_jax.networks.autoregressive.registry import NETWORKS as NETWORKS
from genloss_jax.networks.autoregressive.registry import AutoregressiveConfig as AutoregressiveConfig
from genloss_jax.networks.autoregressive.registry import network as network
