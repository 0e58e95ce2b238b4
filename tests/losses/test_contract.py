"""What every public loss keeps, whatever it computes: one test per promise, generated from the catalog's cards."""

import dataclasses
import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genloss_jax.losses import (
    adversarial,
    catalog,
    contrastive,
    diffusion,
    divergences,
    energy,
    flows,
    likelihood,
    penalties,
    variational,
)

BATCH = 6
# Bounds on mutual information keep their published names; the mean over rows is the bound.
INFORMATION = ("info_nce", "nwj", "jensen_shannon", "barber_agakov")
PER_EXAMPLE = (
    "_loss",
    "_losses",
    "_terms",
    "_penalty",
    "_nll",
    "_kl",
    "_kl_between",
    "total_correlation",
    *INFORMATION,
)
SCALAR = ("_divergence", "_distance", "_discrepancy_squared")


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One function that a card names: a loss, or one player's half of an adversarial loss."""

    name: str
    card: Any
    example: catalog.Example
    batch_axes: tuple[int | None, ...]


def logits(card):
    """Draw logits as an adversarial loss takes them: one per example unless its card's own example has several."""
    key = jax.random.key(0)
    if card.example is not None:
        return card.example(key).arrays
    return tuple(2 * jax.random.normal(side_key, (BATCH,)) for side_key in jax.random.split(key))


def cases():
    for card in catalog.cards():
        if card.family == "adversarial":
            arrays = logits(card)
            for player in ("discriminator", "generator"):
                example = catalog.Example(getattr(card.fn, player), arrays)
                yield Case(f"{card.name}.{player}", card, example, (0, 0))
        else:
            example = card.example(jax.random.key(0))
            yield Case(card.name, card, example, example.batch_axes or (0,) * len(example.arrays))


CASES = tuple(cases())
ADVERSARIAL = tuple(case for case in CASES if case.card.family == "adversarial")


@pytest.fixture(autouse=True)
def bound_keys_may_be_used_again():
    """Let one program, into which an example's key is compiled, run more than once."""
    with jax.debug_key_reuse(False):
        yield


def for_each(cases):
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def value_and_gradients(example):
    """Return a compiled function of the arrays: the value, and the gradients of its sum with respect to all of them."""

    def evaluate(*arrays):
        value, pull_back = jax.vjp(example.call, *arrays)
        return value, pull_back(jax.tree.map(jnp.ones_like, value))

    return evaluate


@functools.cache
def compiled(case):
    """Compile a case once for all tests; also return its arrays, value and gradients."""
    evaluate = jax.jit(value_and_gradients(case.example))
    return evaluate, case.example.arrays, *evaluate(*case.example.arrays)


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-6)


def dtypes(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


def assert_finite(tree):
    for leaf in jax.tree.leaves(tree):
        assert np.all(np.isfinite(leaf)), leaf


# --- Values ---


@for_each(CASES)
def test_eager_value_is_the_compiled_value(case):
    _, arrays, value, _ = compiled(case)
    with jax.debug_key_reuse(True):
        jax.tree.map(assert_close, case.example.call(*arrays), value)


@for_each(CASES)
def test_vmap_over_independent_problems_is_a_loop_over_them(case):
    evaluate, arrays, value, gradients = compiled(case)
    halves = tuple(0.5 * array for array in arrays)
    stacked = tuple(jnp.stack(pair) for pair in zip(arrays, halves, strict=True))
    together = jax.jit(jax.vmap(value_and_gradients(case.example)))(*stacked)
    for index, alone in enumerate([(value, gradients), evaluate(*halves)]):
        jax.tree.map(lambda many, one, index=index: assert_close(many[index], one), together, alone)


@for_each(CASES)
def test_shape_is_the_one_that_the_name_says(case):
    _, arrays, value, _ = compiled(case)
    batch_sizes = {array.shape[axis] for array, axis in zip(arrays, case.batch_axes, strict=True) if axis is not None}
    shapes = {leaf.shape for leaf in jax.tree.leaves(value)}
    if case.card.family == "adversarial":
        assert shapes == {(*batch_sizes,)}
    elif case.card.name.endswith(SCALAR) or not batch_sizes:  # a penalty on parameters has no examples
        assert shapes == {()}
    else:
        assert case.card.name.endswith(PER_EXAMPLE)
        assert shapes == {(*batch_sizes,)}


@for_each(CASES)
def test_value_and_gradient_have_the_dtype_of_the_input(case):
    _, arrays, value, gradients = compiled(case)
    assert dtypes((value, gradients)) == {jnp.dtype("float32")}
    halves = tuple(array.astype(jnp.bfloat16) for array in arrays)
    traced = jax.jit(value_and_gradients(case.example)).trace(*halves)
    # Lowering is where an operation that lacks the dtype fails.
    traced.lower()
    assert dtypes(traced.out_info) == {jnp.dtype(jnp.bfloat16)}


@for_each([case for case in CASES if case.example.permutes and set(case.batch_axes) != {None}])
def test_permuted_examples_permute_the_value_and_leave_a_scalar(case):
    evaluate, arrays, value, gradients = compiled(case)
    (size,) = {array.shape[axis] for array, axis in zip(arrays, case.batch_axes, strict=True) if axis is not None}
    order = np.random.default_rng(0).permutation(size)

    def permute(array, axis):
        return array if axis is None else jnp.take(array, order, axis)

    new_value, new_gradients = evaluate(*map(permute, arrays, case.batch_axes))
    jax.tree.map(lambda new, old: assert_close(new, permute(old, 0 if old.ndim else None)), new_value, value)
    for new, old, axis in zip(new_gradients, gradients, case.batch_axes, strict=True):
        assert_close(new, permute(old, axis))


# --- Gradients ---


@for_each(CASES)
def test_value_and_gradients_are_finite_at_random_points(case):
    _, _, value, gradients = compiled(case)
    assert_finite((value, gradients))


@for_each(ADVERSARIAL)
def test_adversarial_value_and_gradients_are_finite_at_extreme_logits(case):
    shape = case.example.arrays[0].shape[1:]
    extremes = np.array([0.0, 1.0, -1.0, 1e4, -1e4], np.float32)
    # Every pair of values in one batch, and batches in which each side has only one value.
    pairs = np.stack(np.meshgrid(extremes, extremes), -1).reshape(-1, 2)
    batches = np.concatenate([pairs[None], np.broadcast_to(pairs[:, None], (25, 25, 2))])
    logits = np.broadcast_to(batches.reshape(*batches.shape, *[1] * len(shape)), (*batches.shape, *shape))
    evaluate = jax.jit(jax.vmap(value_and_gradients(case.example)))
    assert_finite(evaluate(jnp.asarray(logits[:, :, 0]), jnp.asarray(logits[:, :, 1])))


# --- Errors ---


def assert_names(argument, call, arrays):
    """Check that tracing raises one sentence that names the argument."""
    with pytest.raises(ValueError, match=rf"\b{argument}\b") as caught:
        jax.eval_shape(call, *arrays)
    assert "\n" not in str(caught.value)


@for_each(ADVERSARIAL)
def test_adversarial_loss_names_the_logits_that_do_not_fit(case, unchecked):
    call, (real, fake) = case.example[:2]
    assert_names("fake_logits", call, (real, fake[1:]))
    assert_names("fake_logits", call, (real, fake[..., None]))
    assert_names("real_logits", call, (real[..., None], fake))
    assert_names("real_logits", call, (real[:1].reshape(()) if real.ndim == 1 else real[0], fake))


def array_arguments(case):
    """Return the names of the arguments that an example's arrays stand for; none if they are leaves of its trees."""
    if case.example.names:
        return case.example.names
    parameters = inspect.signature(case.card.fn).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
    names = [name for name in positional if name not in ("key", "name", "losses") and not name.endswith("_fn")]
    return names if set(case.batch_axes) != {None} or case.card.family == "divergences" else []


ARRAY_ARGUMENTS = [
    (case, index, name)
    for case in CASES
    if case.card.family != "adversarial"
    for index, name in enumerate(array_arguments(case))
]


@pytest.mark.parametrize(
    "case, index, name", ARRAY_ARGUMENTS, ids=[f"{case.name}-{name}" for case, _, name in ARRAY_ARGUMENTS]
)
def test_an_array_of_the_wrong_rank_is_named(case, index, name, unchecked):
    call, arrays = case.example[:2]
    wrong = list(arrays)
    wrong[index] = jnp.zeros(()) if arrays[index].ndim else jnp.zeros(2)
    assert_names(name, call, wrong)


# --- Completeness ---

# Public names that compute no loss: types, look-ups, kernels, schedules, targets, and what keeps a loss's state.
NO_LOSSES = {
    adversarial: {"AdversarialLoss", "demand", "get", "names", "switch", "began_balance"},
    penalties: {"path_lengths", "switch", "switchable", "update_average"},
    likelihood: {"bits_per_dim", "from_bins", "mu_law_decode", "mu_law_encode", "previous_labels", "to_bins"},
    variational: {
        "CodebookAverage",
        "DiagonalGaussian",
        "GaussianMixture",
        "KlDecomposition",
        "ResidualQuantized",
        "ScalarQuantized",
        "VectorQuantized",
        "WakeSleepLosses",
        "average_codebook",
        "code_perplexity",
        "cyclical",
        "finite_scalar_quantize",
        "finite_scalar_values",
        "gaussian_kl_per_dim",
        "gumbel_softmax",
        "inverse_multiquadratic_kernel",
        "linear",
        "mixture_log_prob",
        "mixture_of_experts",
        "mopoe",
        "permute_latents",
        "product_of_experts",
        "residual_quantize",
        "sigmoid",
        "update_codebook_average",
        "vamp_log_prior",
        "vector_quantize",
    },
    flows: {"uniform_dequantize"},
    energy: {"CooperativeLosses", "joint_energy", "recovery_energy"},
    diffusion: {
        "Coefficients",
        "FlowPoint",
        "Preconditioning",
        "VariationalBoundTerms",
        "adaptive_weight",
        "alpha_sigma",
        "bridge_gamma",
        "consistency_preconditioning",
        "convert_prediction",
        "convert_weight",
        "cosine_log_snr",
        "diffuse",
        "edm_preconditioning",
        "edm_weight",
        "entropic_transport",
        "flow_matching_path",
        "independent",
        "karras_log_snr",
        "linear_alpha",
        "linear_beta_log_snr",
        "linear_log_snr",
        "linear_path_log_snr",
        "logit_normal_times",
        "lognormal_sigmas",
        "min_snr_weight",
        "noise_to_signal",
        "optimal_transport",
        "p2_weight",
        "precondition",
        "prediction_target",
        "rectified_flow",
        "sigmoid_weight",
        "stochastic_interpolant",
        "stratified_times",
    },
    contrastive: {"AuxiliaryClassifierLosses", "gather_batch", "projection_logits"},
    divergences: {
        "Kernel",
        "rbf_kernel",
        "rational_quadratic_kernel",
        "polynomial_kernel",
        "energy_kernel",
        "mixture_kernel",
    },
}


def public_names(module):
    """Return the public names of a module that were defined in it or below it."""
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (
            getattr(value, "__module__", "").startswith(module.__name__)
            or isinstance(value, adversarial.AdversarialLoss)
        )
    }
    return own - NO_LOSSES[module]


@pytest.mark.parametrize(
    "module", [module for module in NO_LOSSES if module is not adversarial], ids=lambda module: module.__name__
)
def test_every_public_function_has_a_card_and_every_card_a_public_function(module):
    family = module.__name__.rpartition(".")[2]
    assert public_names(module) == {card.name for card in catalog.cards() if card.family == family}
    for card in catalog.cards():
        assert card.family != family or card.fn is getattr(module, card.name)


def test_every_adversarial_loss_that_get_knows_has_a_card_and_every_builder_made_one():
    losses = {card.name: card.fn for card in catalog.cards() if card.family == "adversarial"}
    assert set(losses) == set(adversarial._LOSSES) >= set(adversarial.names())
    for name, loss in losses.items():
        assert loss is adversarial.get(name)
    builders = {loss.discriminator.__qualname__.partition(".")[0] for loss in losses.values()}
    for name in public_names(adversarial):
        value = getattr(adversarial, name)
        assert losses.get(name) is value if isinstance(value, adversarial.AdversarialLoss) else name in builders
