"""Why GANs are unstable, exactly: every loss and gradient penalty at the equilibrium of the Dirac-GAN.

`python -m genloss_jax.ablation.stability --out=docs` writes the page and its picture.
"""

from genloss_jax.ablation.stability._analysis import KINDS as KINDS
from genloss_jax.ablation.stability._analysis import Stability as Stability
from genloss_jax.ablation.stability._analysis import analyse as analyse
from genloss_jax.ablation.stability._game import Field as Field
from genloss_jax.ablation.stability._game import PenaltyFn as PenaltyFn
from genloss_jax.ablation.stability._game import field as field
from genloss_jax.ablation.stability._game import level as level
from genloss_jax.ablation.stability._game import path as path
from genloss_jax.ablation.stability._page import PENALTIES as PENALTIES
from genloss_jax.ablation.stability._page import page as page
from genloss_jax.ablation.stability._picture import picture as picture
