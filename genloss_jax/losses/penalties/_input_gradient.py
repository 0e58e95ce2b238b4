"""What gradient penalties are made of: a point, the critic's input gradient there, and a shape.

The point is where the critic is differentiated; the shape says what the squared norm of the gradient costs.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from genloss_jax import _parts as parts
from genloss_jax.losses._shared import Scalar, check_examples, per_example, root, squared_norm

CriticFn = Callable[[Float[Array, "batch ..."]], Float[Array, " batch"]]
"""Maps a batch of points to one logit per example."""
Shape = Callable[[Float[Array, " batch"]], Float[Array, " batch"]]
"""Maps squared gradient norms to penalties."""


# --- The gradient ---


def logits_and_input_gradients(
    critic_fn: CriticFn, points: Float[Array, "batch *event"]
) -> tuple[Float[Array, " batch"], Float[Array, "batch *event"]]:
    """Evaluate a critic and the pull-back of ones to its input.

    Where logit i depends on example i alone, which is what the theory of these penalties covers, row i is ∇D(x_i).
    Unlike a `vmap` over batches of one, the pull-back also serves critics that close over labels, and does not turn
    batch normalisation or minibatch statistics into constants. For a critic that couples its batch, row i is the
    gradient of the summed logits, as in the code that was published with StyleGAN2.
    """
    check_examples(points=points)
    logits, pull_back = jax.vjp(critic_fn, points)
    check_critic(points, logits)
    (gradients,) = pull_back(jnp.ones_like(logits))
    return logits, gradients


def check_critic(points: Float[Array, "batch *event"], logits: object) -> None:
    """Raise unless `logits`, which a critic returned for `points`, are one array of shape `[B]`."""
    returned = getattr(logits, "shape", type(logits).__name__)
    if returned != points.shape[:1]:
        raise ValueError(
            f"critic_fn must map points of shape {points.shape} to one logit per example, shape {points.shape[:1]}; "
            f"it returned {returned}."
        )


def squared_gradient_norm(critic_fn: CriticFn, points: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Return ‖∇D(x)‖² per example, one norm over all axes."""
    return squared_norm(logits_and_input_gradients(critic_fn, points)[1])


# --- Points ---


def interpolate(
    key: PRNGKeyArray, real: Float[Array, "batch *event"], fake: Float[Array, "batch *event"]
) -> Float[Array, "batch *event"]:
    """Draw α ~ U[0, 1) once per example and return α·real + (1 − α)·fake."""
    check_examples(real=real, fake=fake)
    alpha = parts.draw(jax.random.uniform, key, real.shape[:1], real.dtype)
    alpha = alpha.reshape((-1,) + (1,) * (real.ndim - 1))
    return alpha * real + (1 - alpha) * fake


def perturb(
    key: PRNGKeyArray, real: Float[Array, "batch *event"], *, noise_scale: Scalar
) -> Float[Array, "batch *event"]:
    """Draw u ~ U[−1, 1) per coordinate and return real + noise_scale · std(real) · u."""
    check_examples(real=real)
    uniform = parts.draw(jax.random.uniform, key, (real.size,), real.dtype, minval=-1.0).reshape(real.shape)
    # The spread of the data sets a length; it is no route for gradients, and its root has none at equal examples.
    spread = jax.lax.stop_gradient(parts.std(real, "the DRAGAN penalty, which perturbs by the spread of the data,"))
    return real + noise_scale * spread * uniform


# --- Shapes ---


def half(squared: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """½ ‖∇D‖²."""
    return 0.5 * squared


def square(squared: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """‖∇D‖²."""
    return squared


def largest(squared: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """max_j ‖∇D_j‖², in every entry."""
    return per_example(jnp.max(parts.whole(squared, "the largest gradient")), squared)


def power_of_excess(*, center: Scalar, one_sided: bool = False, power: int | float = 2) -> Shape:
    """|‖∇D‖ − center|^power, or with `one_sided` max(‖∇D‖ − center, 0)^power."""
    if power < 1:
        raise ValueError(f"power must be at least 1; got {power}.")

    def shape(squared: Float[Array, " batch"]) -> Float[Array, " batch"]:
        excess = root(squared) - center
        if one_sided:
            excess = jax.nn.relu(excess)
        if power % 2 == 0:
            # The norm has a kink at zero; its even powers have none.
            return jnp.where(center == 0, squared ** int(power // 2), excess ** int(power))
        return jnp.abs(excess) ** power

    return shape


def divergence(*, coefficient: Scalar, power: int | float) -> Shape:
    """K ‖∇D‖^power, with the coefficient k."""
    norm_to_the_power = power_of_excess(center=0.0, power=power)
    return lambda squared: coefficient * norm_to_the_power(squared)
