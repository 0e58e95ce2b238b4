"""Which convolution is fastest where: XLA's own, or patches times a matrix? And how does PyTorch do?

    python -m benchmarks.convolution

Times the gradient, with respect to images and kernel, of every strided convolution of DCGAN at 32 pixels (batch 64):
by itself, per iteration inside `lax.scan`, and per member under `vmap` of images and kernels; then the whole training
step of that DCGAN by itself and per step inside `lax.scan`. PyTorch, where it is installed, runs the same layers and
the same step with one and two threads; the better of the two counts. Expect patches to beat native on a CPU in every
place, most of all inside `scan` and under `vmap`, and to be faster than PyTorch.
"""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks import _measure, step_time
from genloss_jax.networks import convolution

IMPLEMENTATIONS = ("native", "patches")
CASE = step_time.CASES["dcgan-32"]
SCAN_LENGTH = 2
MEMBERS = 4


class Layer(NamedTuple):
    """A 4x4 convolution of stride 2, or its transpose."""

    transposed: bool
    size: int
    channels: int
    features: int

    def __str__(self) -> str:
        kind = "transposed" if self.transposed else "strided"
        return f"{kind} {self.size}x{self.size} {self.channels}->{self.features}"


LAYERS = (
    Layer(False, 32, 3, 64),
    Layer(False, 16, 64, 128),
    Layer(False, 8, 128, 256),
    Layer(True, 4, 256, 128),
    Layer(True, 8, 128, 64),
    Layer(True, 16, 64, 3),
)


def run(layers: tuple[Layer, ...], *, repetitions: int, whole_step: bool = True) -> Iterator[list[dict[str, Any]]]:
    """Measure and print.

    Args:
        layers: to measure by themselves.
        repetitions: measurements of each contestant, in turn.
        whole_step: also measure the whole training step.

    Yields:
        For each layer or step and place, one row per contestant.
    """
    for layer in layers:
        for place in ("alone", "scan", "vmap"):
            yield _rows(str(layer), place, _measure.interleave(_layer(layer, place), repetitions))
    if whole_step:
        for place in ("alone", "scan"):
            yield _rows("dcgan-32 step", place, _measure.interleave(_step(place), repetitions))


def _rows(what: str, place: str, seconds: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    torch = min((value for name, value in medians.items() if name.startswith("torch")), default=float("nan"))
    rows = []
    for name, median in medians.items():
        row = {
            "what": what,
            "place": place,
            "implementation": name,
            "median_ms": f"{1e3 * median:.4g}",
            "fastest_ms": f"{1e3 * float(seconds[name].min()):.4g}",
            "times_native": f"{medians['native'] / median:.2f}",
            "times_torch": f"{torch / median:.2f}",
            "repetitions": len(seconds[name]),
            "device": _measure.device(),
            "jax": jax.__version__,
        }
        rows.append(row)
        print(
            f"{what:28} {place:6} {name:8} {row['median_ms']:>8} ms, {row['times_native']:>6} times as fast as native,"
            f" {row['times_torch']:>6} times as PyTorch",
            flush=True,
        )
    return rows


def _layer(layer: Layer, place: str) -> dict[str, _measure.Contestant]:
    rng = np.random.default_rng(0)
    new_size = 2 * layer.size if layer.transposed else layer.size // 2
    images = rng.standard_normal((CASE.batch_size, layer.size, layer.size, layer.channels), np.float32)
    kernels = 0.02 * rng.standard_normal((MEMBERS, 4, 4, layer.channels, layer.features), np.float32)
    cotangent = rng.standard_normal((CASE.batch_size, new_size, new_size, layer.features), np.float32)
    contestants = {}
    for implementation in IMPLEMENTATIONS:
        gradient = functools.partial(_gradient, layer.transposed, implementation)
        arguments, units = (images, kernels[0], cotangent), 1
        if place == "vmap":
            gradient, units = jax.vmap(gradient), MEMBERS
            arguments = (np.stack([images] * MEMBERS), kernels, np.stack([cotangent] * MEMBERS))
        elif place == "scan":
            gradient, units = functools.partial(_scanned, gradient), SCAN_LENGTH
        call = functools.partial(_call, jax.jit(gradient), *map(jnp.asarray, arguments))
        contestants[implementation] = _measure.Contestant(call, units)
    return contestants | _torch_layer(layer.transposed, images, kernels[0], cotangent)


def _gradient(transposed, implementation, images, kernel, cotangent):
    if transposed:
        function = functools.partial(convolution.convolve_transposed, implementation=implementation)
    else:
        function = functools.partial(convolution.convolve, stride=2, implementation=implementation)
    return jax.vjp(function, images, kernel)[1](cotangent)


def _scanned(gradient, images, kernel, cotangent):
    # Every iteration depends on the one before, or XLA would move the work out of the loop.
    def body(carry, _):
        images_grad, kernel_grad = gradient(*carry, cotangent)
        return (carry[0] - 1e-6 * images_grad, carry[1] - 1e-6 * kernel_grad), None

    return jax.lax.scan(body, (images, kernel), length=SCAN_LENGTH)[0]


def _call(program, *arguments):
    jax.block_until_ready(program(*arguments))


def _step(place: str) -> dict[str, _measure.Contestant]:
    contestants = {}
    length = SCAN_LENGTH if place == "scan" else 1
    for implementation in IMPLEMENTATIONS:
        network = CASE.network._replace(convolution=implementation)
        program, state, batches = step_time.our_step(CASE._replace(network=network, steps_per_dispatch=length))
        contestants[implementation] = _measure.Contestant(_carried(program, state, batches), length)
    return contestants | _torch_step()


def _carried(program, state, batches):
    box = [state]

    def call():
        box[0], _ = jax.block_until_ready(program(box[0], batches))

    return call


def _torch_layer(transposed, images, kernel, cotangent) -> dict[str, _measure.Contestant]:
    try:
        import torch
    except ImportError:
        return {}
    x = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    w = torch.tensor(kernel.transpose((2, 3, 0, 1) if transposed else (3, 2, 0, 1)), requires_grad=True)
    dy = torch.tensor(cotangent.transpose(0, 3, 1, 2))
    function = torch.nn.functional.conv_transpose2d if transposed else torch.nn.functional.conv2d

    def call(threads):
        torch.set_num_threads(threads)
        torch.autograd.grad(function(x, w, stride=2, padding=1), (x, w), dy)

    return _by_threads(call)


def _torch_step() -> dict[str, _measure.Contestant]:
    try:
        import torch
    except ImportError:
        return {}
    from benchmarks import torch_peers

    real = torch.tensor(np.moveaxis(step_time.examples(CASE, 1)[0], -1, 1))
    step = torch_peers.gan_step(
        *step_time.torch_pair(CASE),
        latent_dim=CASE.latent_dim,
        learning_rate=CASE.learning_rate,
        betas=(CASE.b1, CASE.b2),
    )

    def call(threads):
        torch.set_num_threads(threads)
        step(real)

    return _by_threads(call)


def _by_threads(call):
    return {f"torch-{n}": _measure.Contestant(functools.partial(call, n)) for n in step_time.THREADS}


def main() -> None:
    """Measure what the flags say and write the table."""
    values = flags.FLAGS
    rows: list[dict[str, Any]] = []
    for more in run(LAYERS if values.layers else (), repetitions=values.repetitions, whole_step=values.whole_step):
        rows += more
        # Native convolutions inside `scan` take minutes: keep what there is.
        _measure.write_table(values.output, rows)
    print(values.output)


if __name__ == "__main__":
    from experiments import command

    flags.DEFINE_integer("repetitions", 15, "Measurements of each contestant, in turn; one more warms up.", 1)
    flags.DEFINE_bool("layers", True, "Measure the layers by themselves.")
    flags.DEFINE_bool("whole_step", True, "Measure the whole training step.")
    flags.DEFINE_string("output", "benchmarks/results/convolution.csv", "Path of the table.")
    command.start(lambda _: main())
