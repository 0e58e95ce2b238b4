import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from genloss_jax.networks import convolution

CASES = [
    # size, stride, groups, height, width
    (1, 1, 1, 5, 4),
    (3, 1, 1, 6, 4),
    (3, 1, 2, 4, 6),
    (1, 1, 2, 3, 3),
    (4, 2, 1, 8, 6),
    (2, 2, 1, 4, 4),
    (6, 2, 1, 8, 8),
    (3, 2, 1, 7, 6),
    (5, 2, 1, 8, 7),
    (4, 2, 1, 7, 7),
    (4, 2, 2, 8, 4),
]


# Height, width, channels and features that take minimal filtering.
WINOGRAD = [(8, 8, 16, 16), (4, 8, 20, 17), (12, 4, 16, 18)]


def _draw(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


def _by_scipy(images, kernel, stride):
    """Correlate channel by channel in float64 at stride 1, then keep every stride-th output."""
    images, kernel = np.float64(images), np.float64(kernel)
    pad = (kernel.shape[0] - 1) // 2
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    out = np.stack(
        [
            [
                sum(signal.correlate2d(x[..., c], kernel[..., c, o], mode="valid") for c in range(kernel.shape[2]))
                for o in range(kernel.shape[3])
            ]
            for x in padded
        ]
    )
    return out.transpose(0, 2, 3, 1)[:, ::stride, ::stride]


def _value_and_grads(function, images, kernel):
    def scalar(images, kernel):
        out = function(images, kernel)
        return jnp.sum(jnp.sin(out) * out), out

    grads, out = jax.jit(jax.grad(scalar, argnums=(0, 1), has_aux=True))(images, kernel)
    return out, *grads


@pytest.mark.parametrize("implementation", ["native", "patches"])
@pytest.mark.parametrize("size,stride,groups,height,width", [case for case in CASES if case[2] == 1])
def test_convolution_equals_scipys_correlation(implementation, size, stride, groups, height, width):
    images, kernel = _draw((2, height, width, 3), (size, size, 3, 4))
    out = jax.jit(lambda x, k: convolution.convolve(x, k, stride=stride, implementation=implementation))(images, kernel)
    np.testing.assert_allclose(out, _by_scipy(images, kernel, stride), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size,stride,groups,height,width", CASES)
def test_patches_equal_native_in_value_and_gradients(size, stride, groups, height, width):
    images, kernel = _draw((2, height, width, 4), (size, size, 4 // groups, 6))
    results = [
        _value_and_grads(
            lambda x, k, i=i: convolution.convolve(x, k, stride=stride, groups=groups, implementation=i),
            images,
            kernel / (size * 2),
        )
        for i in ("native", "patches")
    ]
    for native, patches in zip(*results, strict=True):
        np.testing.assert_allclose(patches, native, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("implementation", ["native", "patches"])
@pytest.mark.parametrize(
    "size,padding", [((2, 3), ((2, -1), (1, 1))), ((1, 4), ((0, 0), (3, 0))), ((1, 1), ((1, -1), (0, 0)))]
)
def test_padding_and_kernels_of_two_lengths_equal_scipys_correlation_of_the_padded_image(implementation, size, padding):
    images, kernel = _draw((2, 5, 6, 3), (*size, 3, 4))
    out = jax.jit(lambda x, k: convolution.convolve(x, k, padding=padding, implementation=implementation))(
        images, kernel
    )
    rows, columns = padding
    padded = np.pad(images, ((0, 0), (rows[0], max(rows[1], 0)), (columns[0], columns[1]), (0, 0)))
    padded = padded[:, : 5 + sum(rows)]
    # `_by_scipy` pads by the height, of which 1 and 2 get nothing.
    np.testing.assert_allclose(out, _by_scipy(padded, kernel, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size,height,width", [(2, 3, 4), (4, 4, 4), (4, 3, 5), (6, 4, 5)])
def test_transposed_patches_equal_native_in_value_and_gradients(size, height, width):
    images, kernel = _draw((2, height, width, 4), (size, size, 4, 3))
    results = [
        _value_and_grads(
            lambda x, k, i=i: convolution.convolve_transposed(x, k, implementation=i), images, kernel / (size * 2)
        )
        for i in ("native", "patches")
    ]
    assert results[0][0].shape == (2, 2 * height, 2 * width, 3)
    for native, patches in zip(*results, strict=True):
        np.testing.assert_allclose(patches, native, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("implementation", ["native", "patches"])
@pytest.mark.parametrize("size", [2, 4, 6])
def test_transposed_convolution_is_the_adjoint_of_the_strided_one(implementation, size):
    # <conv(x), y> = <x, conv^T(y)>, with the kernel's channel axes exchanged.
    x, y, kernel = _draw((2, 8, 6, 3), (2, 4, 3, 5), (size, size, 3, 5))

    @jax.jit
    def products(x, y, kernel):
        forward = convolution.convolve(x, kernel, stride=2, implementation=implementation)
        back = convolution.convolve_transposed(y, kernel.transpose(0, 1, 3, 2), implementation=implementation)
        return jnp.vdot(forward, y), jnp.vdot(x, back)

    np.testing.assert_allclose(*products(x, y, kernel), rtol=1e-4)


def test_patches_have_second_derivatives_forward_mode_and_vmap():
    images, kernels = _draw((2, 8, 8, 3), (3, 4, 4, 3, 2))

    def critic(x, kernel, implementation):
        return jnp.sum(jnp.tanh(convolution.convolve(x, kernel, stride=2, implementation=implementation)))

    def penalty(kernel, implementation):
        return jnp.sum(jax.grad(critic)(images, kernel, implementation) ** 2)

    patches, native = (
        jax.jit(jax.vmap(jax.grad(lambda k, i=i: penalty(k, i))))(kernels) for i in ("patches", "native")
    )
    np.testing.assert_allclose(patches, native, rtol=1e-4, atol=1e-4)
    tangents = [
        jax.jit(lambda x, i=i: jax.jvp(lambda x: critic(x, kernels[0], i), (x,), (jnp.ones_like(x),))[1])(images)
        for i in ("patches", "native")
    ]
    np.testing.assert_allclose(*tangents, rtol=1e-4)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("height,width,channels,features", WINOGRAD)
def test_minimal_filtering_equals_native_in_value_and_gradients(transposed, height, width, channels, features):
    images, kernel = _draw((2, height, width, channels), (4, 4, channels, features))
    if transposed:
        images = images[:, : height // 2, : width // 2]
    with jax.enable_x64(True):
        images, kernel = np.float64(images), np.float64(kernel) / 16
        results = []
        for implementation in ("native", "patches"):

            def function(x, k, implementation=implementation):
                if transposed:
                    return convolution.convolve_transposed(x, k, implementation=implementation)
                return convolution.convolve(x, k, stride=2, implementation=implementation)

            results.append(_value_and_grads(function, images, kernel))
    for native, patches in zip(*results, strict=True):
        np.testing.assert_allclose(patches, native, rtol=1e-10, atol=1e-10)


def test_minimal_filtering_loses_little_in_float32():
    images, kernel = _draw((2, 8, 8, 64), (4, 4, 64, 32))
    kernel = kernel / 32
    exact = _by_scipy(images, kernel, 2)
    out = jax.jit(lambda x, k: convolution.convolve(x, k, stride=2, implementation="patches"))(images, kernel)
    np.testing.assert_allclose(out, exact, rtol=1e-5, atol=1e-5)


def test_minimal_filtering_takes_nine_products_for_sixteen():
    images, kernel = _draw((1, 8, 8, 16), (4, 4, 16, 16))
    compiled = jax.jit(lambda x, k: convolution.convolve(x, k, stride=2, implementation="patches")).lower(
        images, kernel
    )
    products = [line for line in compiled.as_text().splitlines() if "dot_general" in line]
    # Plain patches would be one product of [16, 256] by [256, 16], with 16 / 9 times as many multiplications.
    assert len(products) == 9
    assert all("(tensor<4x64xf32>, tensor<64x16xf32>)" in line for line in products)


def test_auto_is_patches_on_a_cpu_and_native_elsewhere(monkeypatch):
    for backend, expected in (("cpu", "patches"), ("gpu", "native"), ("tpu", "native")):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        assert convolution.resolve("auto") == expected
    assert convolution.resolve("native") == "native"


def test_patches_contain_no_convolution():
    images, kernel = _draw((1, 4, 4, 3), (4, 4, 3, 2))
    for function, expected in (("native", True), ("patches", False)):
        text = str(
            jax.make_jaxpr(
                jax.grad(
                    lambda k, i=function: (
                        jnp.sum(convolution.convolve(images, k, stride=2, implementation=i))
                        + jnp.sum(convolution.convolve_transposed(images, k, implementation=i))
                    )
                )
            )(kernel)
        )
        assert ("conv_general_dilated" in text) == expected


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda x, k: convolution.convolve(x, k, implementation="fast"), "implementation must be one of"),
        (lambda x, k: convolution.convolve(x, k, stride=3), "stride must be 1 or 2, got 3"),
        (lambda x, k: convolution.convolve(x[..., :2], k), "does not fit images with 2 channels"),
        (lambda x, k: convolution.convolve_transposed(x, k), "must have even size"),
        (lambda x, k: convolution.convolve_transposed(x[..., :2], k[:2, :2]), "does not fit images with 2 channels"),
    ],
)
def test_bad_input_is_a_sentence(call, message):
    images, kernel = _draw((1, 4, 4, 3), (3, 3, 3, 2))
    with pytest.raises(ValueError, match=message):
        call(images, kernel)
