"""Arguments that do not fit each other are named in one sentence, with the shape checks of the tests switched off."""

import jax
import jax.numpy as jnp
import pytest

from genloss_jax.losses import variational

pytestmark = pytest.mark.usefixtures("unchecked")

FOUR, FIVE = jnp.zeros(4), jnp.zeros(5)
LATENTS, MORE, WIDER = jnp.zeros((4, 2)), jnp.zeros((5, 2)), jnp.zeros((4, 3))
WEIGHTS, CUBES = jnp.zeros((3, 4)), jnp.zeros((4, 3, 3))


@pytest.mark.parametrize(
    "named, call",
    [
        ("log_var", lambda: variational.gaussian_kl(LATENTS, WIDER)),
        ("log_var_p", lambda: variational.gaussian_kl_between(LATENTS, LATENTS, LATENTS, WIDER)),
        ("scale_tril_q", lambda: variational.multivariate_gaussian_kl(LATENTS, CUBES, LATENTS, CUBES)),
        ("logits_q", lambda: variational.categorical_kl(FOUR, FOUR)),
        ("dim", lambda: variational.von_mises_fisher_kl(FOUR, dim=1)),
        ("kl", lambda: variational.elbo_loss(FOUR, FIVE)),
        ("log_weights", lambda: variational.iwae_loss(jnp.zeros((0, 4)))),
        ("log_weight_fn", lambda: variational.piwae_loss(lambda decoder, encoder: WEIGHTS, 1.0, 1.0)),
        ("log_q", lambda: variational.vimco_loss(WEIGHTS, WEIGHTS[:2])),
        ("log_q", lambda: variational.thermodynamic_loss(WEIGHTS, WEIGHTS[:2], betas=(0.0,))),
        ("dream_log_q", lambda: variational.wake_sleep_losses(WEIGHTS, WEIGHTS, FIVE)),
        ("mean", lambda: variational.total_correlation(LATENTS, MORE, MORE, dataset_size=9)),
        ("z", lambda: variational.total_correlation(LATENTS[:1], LATENTS[:1], LATENTS[:1], dataset_size=9)),
        ("nll", lambda: variational.beta_tc_loss(FIVE, LATENTS, LATENTS, LATENTS, dataset_size=9)),
        ("nll", lambda: variational.info_vae_loss(FIVE, FIVE, LATENTS, LATENTS, alpha=0.5, scale=1.0)),
        ("prior_z", lambda: variational.wae_mmd_penalty(LATENTS, MORE)),
        ("pseudo_means", lambda: variational.vamp_log_prior(LATENTS, WIDER, WIDER)),
        ("z", lambda: variational.vector_quantize(WIDER, LATENTS)),
        ("z", lambda: variational.residual_quantize(WIDER[None], LATENTS)),
        ("z", lambda: variational.finite_scalar_quantize(LATENTS, levels=(3, 3, 3))),
        ("vectors", lambda: variational.codebook_loss(LATENTS, WIDER)),
        ("logits", lambda: variational.code_entropy_penalty(FOUR)),
        ("log_vars", lambda: variational.product_of_experts(LATENTS[None], WIDER[None])),
        ("mask", lambda: variational.mopoe(LATENTS[None], LATENTS[None], mask=jnp.ones((1, 5), bool))),
        ("log_probs", lambda: variational.mixture_of_experts_loss(WEIGHTS[None], jnp.zeros((1, 5)))),
        ("log_probs", lambda: variational.mixture_of_experts_kl(LATENTS[None], LATENTS[None], jnp.zeros((1, 5)))),
        ("z", lambda: variational.mixture_log_prob(WIDER, variational.mopoe(LATENTS[None], LATENTS[None]))),
        ("mean", lambda: variational.gaussian_kl(jnp.zeros((4, 2), int), jnp.zeros((4, 2), int))),
    ],
)
def test_an_argument_that_does_not_fit_is_named(named, call):
    with pytest.raises(ValueError, match=rf"\b{named}\b") as caught:
        jax.eval_shape(call)
    assert "\n" not in str(caught.value)
