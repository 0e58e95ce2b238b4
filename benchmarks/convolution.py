"""Which convolution is fastest where: XLA's own, or patches times a matrix? And how does PyTorch do?

    python -m benchmarks.convolution --repetitions=15

Times one gradient (with respect to images and kernel) of every strided convolution of DCGAN at 32 pixels, batch 64:
by itself, per iteration inside `lax.scan`, and per member under `vmap` of the kernels; then a whole training step of
DCGAN at 32 pixels (64 channels, batch 64, Adam), by itself and inside `lax.scan`. PyTorch, where it is installed, runs
the same layers and the same step with one and two threads; the better of the two counts. All contestants of a row
are measured in turn, so that a busy machine slows them alike. Expect patches to be as fast as PyTorch or faster on a
CPU, and native to lose by itself and to lose badly inside `scan` and under `vmap`.
"""

import csv
import functools
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags

from genloss_jax import networks
from genloss_jax.networks import convolution

REPETITIONS = flags.DEFINE_integer(
    "repetitions", 15, "measurements of each contestant, taken in turn; one more warms up", 1
)
OUTPUT = flags.DEFINE_string("output", "benchmarks/results/convolution.csv", "path of the table")
ONLY = flags.DEFINE_enum("only", "all", ["all", "layers", "step"], "which measurements to take")

BATCH, LATENT, WIDTH, SIZE = 64, 100, 64, 32
SCAN_LENGTH, MEMBERS = 4, 4
# kind, input size, channels, features
LAYERS = (
    ("conv", 32, 3, 64),
    ("conv", 16, 64, 128),
    ("conv", 8, 128, 256),
    ("transposed", 4, 256, 128),
    ("transposed", 8, 128, 64),
    ("transposed", 16, 64, 3),
)
IMPLEMENTATIONS = ("native", "patches")


def main(argv: list[str]) -> None:
    """Measure, print and write the table."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}")
    rows: list[dict[str, str]] = []
    if ONLY.value in ("all", "layers"):
        for layer in LAYERS:
            for place in ("alone", "scan", "vmap"):
                rows += _table(f"{layer[0]} {layer[1]}x{layer[1]} {layer[2]}->{layer[3]}", place, _layer(layer, place))
    if ONLY.value in ("all", "step"):
        for place in ("alone", "scan"):
            rows += _table(f"dcgan-{SIZE} step, width {WIDTH}, batch {BATCH}", place, _step(place))
    path = Path(OUTPUT.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(path)


def _table(what: str, place: str, contestants: dict[str, tuple[Callable[[], None], int]]) -> list[dict[str, str]]:
    """Time contestants, each a call and the number of units of work in it, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for repetition in range(REPETITIONS.value + 1):
        for name, (call, units) in contestants.items():
            start = time.perf_counter()
            call()
            if repetition:
                seconds[name].append((time.perf_counter() - start) / units)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    torch = min((value for name, value in medians.items() if name.startswith("torch")), default=None)
    rows = []
    for name, median in medians.items():
        rows.append(
            {
                "what": what,
                "place": place,
                "implementation": name,
                "median_ms": f"{1e3 * median:.3f}",
                "fastest_ms": f"{1e3 * min(seconds[name]):.3f}",
                "speed_over_native": f"{medians['native'] / median:.2f}",
                "speed_over_torch": f"{torch / median:.2f}" if torch else "",
                "repetitions": str(REPETITIONS.value),
                "device": _device(),
                "jax": jax.__version__,
            }
        )
        row = rows[-1]
        print(
            f"{what:36} {place:6} {name:8} {row['median_ms']:>10} ms  x native {row['speed_over_native']:>6}"
            f"  x torch {row['speed_over_torch']:>6}",
            flush=True,
        )
    return rows


def _layer(layer, place):
    kind, size, channels, features = layer
    rng = np.random.default_rng(0)
    images = rng.standard_normal((BATCH, size, size, channels), np.float32)
    kernels = (rng.standard_normal((MEMBERS, 4, 4, channels, features)) / channels**0.5 / 4).astype(np.float32)
    new_size = size // 2 if kind == "conv" else 2 * size
    cotangent = rng.standard_normal((BATCH, new_size, new_size, features), np.float32)
    contestants = {}
    for implementation in IMPLEMENTATIONS:
        gradient = functools.partial(_gradient, kind, implementation)
        if place == "alone":
            call, units, kernel = gradient, 1, kernels[0]
        elif place == "vmap":
            call, units, kernel = jax.vmap(gradient, (None, 0, None)), MEMBERS, kernels
        else:
            call, units, kernel = functools.partial(_scanned, gradient), SCAN_LENGTH, kernels[0]
        contestants[implementation] = (_ready(jax.jit(call), *map(jnp.asarray, (images, kernel, cotangent))), units)
    return contestants if place == "vmap" else contestants | _torch_layer(kind, images, kernels[0], cotangent)


def _gradient(kind, implementation, images, kernel, cotangent):
    if kind == "conv":
        function = functools.partial(convolution.convolve, stride=2, implementation=implementation)
    else:
        function = functools.partial(convolution.convolve_transposed, implementation=implementation)
    return jax.vjp(function, images, kernel)[1](cotangent)


def _scanned(gradient, images, kernel, cotangent):
    def body(carry, _):
        images_grad, kernel_grad = gradient(*carry, cotangent)
        return (carry[0] - 1e-6 * images_grad, carry[1] - 1e-6 * kernel_grad), None

    return jax.lax.scan(body, (images, kernel), length=SCAN_LENGTH)[0]


def _step(place):
    images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (BATCH, SIZE, SIZE, 3)), jnp.float32)
    contestants = {}
    for implementation in IMPLEMENTATIONS:
        init, step = _dcgan(implementation)
        state = jax.jit(init)(jax.random.key(0))
        if place == "alone":
            call, units = jax.jit(step, donate_argnums=0), 1
        else:
            scanned = functools.partial(_scanned_steps, step)
            call, units = jax.jit(scanned, donate_argnums=0), SCAN_LENGTH
        contestants[implementation] = (_carried(call, state, images), units)
    return contestants | _torch_step()


def _scanned_steps(step, state, images):
    return jax.lax.scan(lambda state, _: (step(state, images), None), state, length=SCAN_LENGTH)[0]


def _dcgan(implementation):
    """One step of each player with the non-saturating loss, written plainly."""
    config = networks.NetworkConfig("dcgan", WIDTH, normalization="batch", convolution=implementation)
    generator, critic = networks.pair(config, shape=(SIZE, SIZE, 3), latent_dim=LATENT)
    adam = optax.adam(2e-4, b1=0.5)

    def init(key):
        keys = jax.random.split(key, 3)
        g_params, g_state = generator.init(keys[0], jnp.zeros((BATCH, LATENT)))
        d_params, d_state = critic.init(keys[1], jnp.zeros((BATCH, SIZE, SIZE, 3)))
        return g_params, g_state, adam.init(g_params), d_params, d_state, adam.init(d_params), keys[2]

    def step(state, images):
        g_params, g_state, g_opt, d_params, d_state, d_opt, key = state
        key, d_key, g_key = jax.random.split(key, 3)

        def d_loss(d_params):
            fake, _ = generator.apply(g_params, g_state, jax.random.normal(d_key, (BATCH, LATENT)), train=True)
            real_logits, moved = critic.apply(d_params, d_state, images, train=True)
            fake_logits, moved = critic.apply(d_params, moved, fake, train=True)
            return jnp.mean(jax.nn.softplus(-real_logits) + jax.nn.softplus(fake_logits)), moved

        grads, d_state = jax.grad(d_loss, has_aux=True)(d_params)
        updates, d_opt = adam.update(grads, d_opt)
        d_params = optax.apply_updates(d_params, updates)

        def g_loss(g_params):
            fake, moved = generator.apply(g_params, g_state, jax.random.normal(g_key, (BATCH, LATENT)), train=True)
            logits, d_moved = critic.apply(d_params, d_state, fake, train=True)
            return jnp.mean(jax.nn.softplus(-logits)), (moved, d_moved)

        grads, (g_state, d_state) = jax.grad(g_loss, has_aux=True)(g_params)
        updates, g_opt = adam.update(grads, g_opt)
        return optax.apply_updates(g_params, updates), g_state, g_opt, d_params, d_state, d_opt, key

    return init, step


def _torch_layer(kind, images, kernel, cotangent):
    try:
        import torch
    except ImportError:
        return {}
    x = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    axes = (3, 2, 0, 1) if kind == "conv" else (2, 3, 0, 1)
    w = torch.tensor(kernel.transpose(axes), requires_grad=True)
    dy = torch.tensor(cotangent.transpose(0, 3, 1, 2))
    function = torch.nn.functional.conv2d if kind == "conv" else torch.nn.functional.conv_transpose2d

    def call(threads):
        torch.set_num_threads(threads)
        torch.autograd.grad(function(x, w, stride=2, padding=1), (x, w), dy)

    return {f"torch-{threads}": (functools.partial(call, threads), 1) for threads in (1, 2)}


def _torch_step():
    try:
        import torch
    except ImportError:
        return {}
    from torch import nn

    up = functools.partial(nn.ConvTranspose2d, kernel_size=4, bias=False)
    down = functools.partial(nn.Conv2d, kernel_size=4, bias=False)
    w = WIDTH
    generator = nn.Sequential(
        *(up(LATENT, 4 * w), nn.BatchNorm2d(4 * w), nn.ReLU(True)),
        *(up(4 * w, 2 * w, stride=2, padding=1), nn.BatchNorm2d(2 * w), nn.ReLU(True)),
        *(up(2 * w, w, stride=2, padding=1), nn.BatchNorm2d(w), nn.ReLU(True)),
        *(up(w, 3, stride=2, padding=1), nn.Tanh()),
    )
    critic = nn.Sequential(
        *(down(3, w, stride=2, padding=1), nn.LeakyReLU(0.2, True)),
        *(down(w, 2 * w, stride=2, padding=1), nn.BatchNorm2d(2 * w), nn.LeakyReLU(0.2, True)),
        *(down(2 * w, 4 * w, stride=2, padding=1), nn.BatchNorm2d(4 * w), nn.LeakyReLU(0.2, True)),
        down(4 * w, 1),
    )
    g_adam = torch.optim.Adam(generator.parameters(), 2e-4, (0.5, 0.999))
    d_adam = torch.optim.Adam(critic.parameters(), 2e-4, (0.5, 0.999))
    softplus = nn.functional.softplus
    images = torch.rand(BATCH, 3, SIZE, SIZE) * 2 - 1

    def call(threads):
        torch.set_num_threads(threads)
        with torch.no_grad():
            fake = generator(torch.randn(BATCH, LATENT, 1, 1))
        d_adam.zero_grad(set_to_none=True)
        (softplus(-critic(images)).mean() + softplus(critic(fake)).mean()).backward()
        d_adam.step()
        # The critic's own gradients are not asked for, as in ours.
        critic.requires_grad_(False)
        g_adam.zero_grad(set_to_none=True)
        softplus(-critic(generator(torch.randn(BATCH, LATENT, 1, 1)))).mean().backward()
        g_adam.step()
        critic.requires_grad_(True)

    return {f"torch-{threads}": (functools.partial(call, threads), 1) for threads in (1, 2)}


def _ready(function, *arguments):
    return lambda: jax.block_until_ready(function(*arguments))


def _carried(function, state, images):
    box = [state]

    def call():
        box[0] = jax.block_until_ready(function(box[0], images))

    return call


@functools.cache
def _device() -> str:
    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    names = [line for line in _cpuinfo() if line.startswith("model name")]
    model = names[0].split(":")[1].strip() if names else platform.processor()
    return f"{model}, {len(names) or 'unknown number of'} cores"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    app.run(main)
