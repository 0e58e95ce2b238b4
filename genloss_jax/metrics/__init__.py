"""How good samples are, and how sure we are."""

from genloss_jax.metrics import classification as classification
from genloss_jax.metrics import density as density
from genloss_jax.metrics import extractors as extractors
from genloss_jax.metrics import features as features
from genloss_jax.metrics import modes as modes
from genloss_jax.metrics import statistics as statistics
from genloss_jax.metrics import support as support
from genloss_jax.metrics.evaluation import Evaluator as Evaluator
from genloss_jax.metrics.evaluation import comparison as comparison
from genloss_jax.metrics.evaluation import evaluator as evaluator
from genloss_jax.metrics.evaluation import table as table
from genloss_jax.metrics.extractors import EXTRACTORS as EXTRACTORS
from genloss_jax.metrics.extractors import Extractor as Extractor
from genloss_jax.metrics.statistics import STANDARD_ERROR as STANDARD_ERROR
