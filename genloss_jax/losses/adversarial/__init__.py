"""What a GAN does with its critic's outputs: pairs of a discriminator's and a generator's loss.

Each loss is an `AdversarialLoss` of two pure functions of `(real_logits, fake_logits)`, real before fake, that give one
value per example. Logits, never probabilities; high on real in every loss. A function builds each loss that has
hyperparameters.
"""

from genloss_jax.losses.adversarial._batchwise import cumulant as cumulant
from genloss_jax.losses.adversarial._batchwise import dual_contrastive as dual_contrastive
from genloss_jax.losses.adversarial._batchwise import kl_wasserstein as kl_wasserstein
from genloss_jax.losses.adversarial._batchwise import quadratic_potential as quadratic_potential
from genloss_jax.losses.adversarial._batchwise import softmax as softmax
from genloss_jax.losses.adversarial._energy import began as began
from genloss_jax.losses.adversarial._energy import began_balance as began_balance
from genloss_jax.losses.adversarial._energy import energy_based as energy_based
from genloss_jax.losses.adversarial._fgan import alpha_gan as alpha_gan
from genloss_jax.losses.adversarial._fgan import f_gan as f_gan
from genloss_jax.losses.adversarial._head import AdversarialLoss as AdversarialLoss
from genloss_jax.losses.adversarial._pointwise import boundary_seeking as boundary_seeking
from genloss_jax.losses.adversarial._pointwise import hinge as hinge
from genloss_jax.losses.adversarial._pointwise import label_smoothed as label_smoothed
from genloss_jax.losses.adversarial._pointwise import least_squares as least_squares
from genloss_jax.losses.adversarial._pointwise import least_squares_targets as least_squares_targets
from genloss_jax.losses.adversarial._pointwise import minimax as minimax
from genloss_jax.losses.adversarial._pointwise import non_saturating as non_saturating
from genloss_jax.losses.adversarial._pointwise import wasserstein as wasserstein
from genloss_jax.losses.adversarial._registry import _LOSSES as _LOSSES
from genloss_jax.losses.adversarial._registry import demand as demand
from genloss_jax.losses.adversarial._registry import get as get
from genloss_jax.losses.adversarial._registry import names as names
from genloss_jax.losses.adversarial._registry import switch as switch
from genloss_jax.losses.adversarial._relativistic import relativistic as relativistic
from genloss_jax.losses.adversarial._relativistic import relativistic_paired as relativistic_paired
from genloss_jax.losses.adversarial._wide import multi_hinge as multi_hinge
from genloss_jax.losses.adversarial._wide import realness as realness
