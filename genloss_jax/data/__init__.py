"""Where examples come from, and exact densities where they exist."""

from genloss_jax.data import augment as augment
from genloss_jax.data import games as games
from genloss_jax.data import plane as plane
from genloss_jax.data import polygons as polygons
from genloss_jax.data.dataset import Dataset as Dataset
from genloss_jax.data.dataset import Modes as Modes
from genloss_jax.data.registry import load as load
from genloss_jax.data.registry import names as names
from genloss_jax.data.sources import ArraySource as ArraySource
from genloss_jax.data.sources import Batch as Batch
from genloss_jax.data.sources import DeviceSource as DeviceSource
from genloss_jax.data.sources import Source as Source
from genloss_jax.data.streams import BatchStream as BatchStream
from genloss_jax.data.streams import epoch as epoch
from genloss_jax.data.streams import stream as stream
