"""Rectified flow: a second flow learns the pairs that a first one makes, on paths that hardly cross."""

from functools import partial

import jax

from genloss_jax.losses import diffusion as losses
from genloss_jax.networks.network import Network
from genloss_jax.objectives.diffusion._objective import MODEL, diffusion
from genloss_jax.objectives.diffusion._process import normal
from genloss_jax.objectives.diffusion._processes import flow_matching
from genloss_jax.objectives.objective import Objective, Variables, check_counts, mean

FLOW = "flow"


def rectified_flow(
    network: Network,
    *,
    shape: tuple[int, ...],
    sampler: str = "euler",
    num_steps: int = 2,
    num_pair_steps: int = 10,
    num_likelihood_steps: int = 50,
) -> Objective:
    """Train a flow on data, and a straighter one on the pairs of noise and sample that the first one makes.

    Both learn at the same time, each as a player of its own; the pairs are constants. Samples and likelihood are those
    of the second flow, the player "model".

    Args:
        network: of each of the two, see `diffusion`.
        shape: of one example.
        sampler: "euler", "heun" or "rk4".
        num_steps: of the sampler; straight paths need few.
        num_pair_steps: Runge-Kutta steps that make a pair.
        num_likelihood_steps: of the Runge-Kutta method in `log_prob`.

    Returns:
        An objective with two players, "flow" and "model".

    Raises:
        ValueError: as `diffusion`, and if `num_pair_steps` is below 1.

    References:
        Liu et al. 2023, Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow.
    """
    check_counts(num_pair_steps=num_pair_steps)
    straight = diffusion(
        network,
        flow_matching(),
        shape=shape,
        sampler=sampler,
        num_steps=num_steps,
        num_likelihood_steps=num_likelihood_steps,
    )

    def init(key, batch):
        flow_key, model_key = jax.random.split(key)
        params = {
            player: straight.init(player_key, batch).params[MODEL]
            for player, player_key in ((FLOW, flow_key), (MODEL, model_key))
        }
        return Variables(params, {})

    def flow_loss(params, aux, batch, key, hyper):
        return straight.losses[MODEL]({MODEL: params[FLOW]}, aux, batch, key, hyper)

    def straight_loss(params, aux, batch, key, hyper):
        del hyper
        noise_key, time_key, loss_key, network_key = jax.random.split(key, 4)
        noise = normal(noise_key, batch["x"].shape, batch["x"].dtype)
        t = losses.stratified_times(time_key, noise.shape[0]).astype(noise.dtype)

        def velocity(player, x, t, **options):
            return network.apply(params[player], {}, x, t, **options)[0]

        made = losses.rectified_flow(partial(velocity, FLOW), noise, num_steps=num_pair_steps)
        learned = partial(velocity, MODEL, train=True, key=network_key)
        return mean(losses.flow_matching_loss(learned, loss_key, noise, made, t)), ({}, aux)

    return straight._replace(init=init, losses={FLOW: flow_loss, MODEL: straight_loss})
