"""Training: the state, the step, the loop and what it leaves on disk."""

from genloss_jax.training import parallel as parallel
from genloss_jax.training.checkpoints import CheckpointError as CheckpointError
from genloss_jax.training.checkpoints import Checkpoints as Checkpoints
from genloss_jax.training.configured import Setup as Setup
from genloss_jax.training.configured import from_config as from_config
from genloss_jax.training.finite import NonFiniteError as NonFiniteError
from genloss_jax.training.loop import Event as Event
from genloss_jax.training.loop import run as run
from genloss_jax.training.measure import evaluator as evaluator
from genloss_jax.training.measure import measurer as measurer
from genloss_jax.training.parallel import Placement as Placement
from genloss_jax.training.preemption import Preemption as Preemption
from genloss_jax.training.progress import Progress as Progress
from genloss_jax.training.progress import duration as duration
from genloss_jax.training.step import Schedule as Schedule
from genloss_jax.training.step import TrainState as TrainState
from genloss_jax.training.step import make_step as make_step
from genloss_jax.training.step import sampling_params as sampling_params
