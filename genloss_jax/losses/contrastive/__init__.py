"""Contrastive losses, the conditional ones of GANs, and bounds on mutual information."""

from genloss_jax.losses.contrastive._conditional import AuxiliaryClassifierLosses as AuxiliaryClassifierLosses
from genloss_jax.losses.contrastive._conditional import auxiliary_classifier_losses as auxiliary_classifier_losses
from genloss_jax.losses.contrastive._conditional import conditional_contrastive_loss as conditional_contrastive_loss
from genloss_jax.losses.contrastive._conditional import data_to_data_loss as data_to_data_loss
from genloss_jax.losses.contrastive._conditional import infogan_loss as infogan_loss
from genloss_jax.losses.contrastive._conditional import projection_logits as projection_logits
from genloss_jax.losses.contrastive._embeddings import clip_loss as clip_loss
from genloss_jax.losses.contrastive._embeddings import nt_xent_loss as nt_xent_loss
from genloss_jax.losses.contrastive._embeddings import siglip_loss as siglip_loss
from genloss_jax.losses.contrastive._embeddings import supervised_contrastive_loss as supervised_contrastive_loss
from genloss_jax.losses.contrastive._embeddings import triplet_loss as triplet_loss
from genloss_jax.losses.contrastive._scores import barber_agakov as barber_agakov
from genloss_jax.losses.contrastive._scores import info_nce as info_nce
from genloss_jax.losses.contrastive._scores import info_nce_loss as info_nce_loss
from genloss_jax.losses.contrastive._scores import jensen_shannon as jensen_shannon
from genloss_jax.losses.contrastive._scores import nwj as nwj
from genloss_jax.losses.contrastive._shared import gather_batch as gather_batch
