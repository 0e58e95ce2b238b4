"""Each benchmark runs with tiny sizes, and measures what it says."""

import csv
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from jax.interpreters import partial_eval as pe

from benchmarks import _measure, ablation, loss_overhead, plane, reconstruction, step_time, verdicts
from configs import r3gan_ring
from genloss_jax import metrics, networks, training
from genloss_jax.ablation import planning
from genloss_jax.losses import adversarial

TINY = {
    "plane": step_time.CASES["plane-64"]._replace(
        network=networks.NetworkConfig("mlp", 8, depth=3), batch_size=4, steps_per_dispatch=2
    ),
    "dcgan": step_time.CASES["dcgan-32"]._replace(
        network=networks.NetworkConfig("dcgan", 4, normalization="batch"), shape=(16, 16, 3), latent_dim=5, batch_size=2
    ),
}

# Quick to compile.
SHALLOW = TINY["plane"]._replace(network=networks.NetworkConfig("mlp", 4, depth=1))


@pytest.fixture(scope="module")
def config():
    config = r3gan_ring.get_config("smoke")
    with config.unlocked():
        config.training.total_steps = 4
    return config


def test_interleaved_times_tell_a_slow_contestant_from_a_quick_one():
    contestants = {
        "slow": _measure.Contestant(lambda: time.sleep(0.02), units=2),
        "quick": _measure.Contestant(lambda: time.sleep(0.002)),
    }
    seconds = _measure.interleave(contestants, 5, seconds_each=0.0)
    assert seconds["slow"].shape == seconds["quick"].shape == (5,)
    assert np.median(seconds["slow"]) >= 0.01  # per unit
    assert _measure.ratio_of_medians(seconds["slow"], seconds["quick"]).value > 1.5


def test_interval_of_a_constant_ratio_is_that_ratio():
    theirs = np.array([1.0, 2.0, 5.0])
    assert _measure.median_of_ratios(3.0 * theirs, theirs) == pytest.approx((3.0, 3.0, 3.0))
    assert _measure.ratio_of_medians(3.0 * theirs, theirs).value == pytest.approx(3.0)


def test_appending_keeps_old_rows_and_adds_new_columns(tmp_path):
    path = tmp_path / "results" / "table.csv"
    _measure.append_table(path, [{"seed": 0, "a": 1}])
    _measure.append_table(path, [{"seed": 1, "b": 2}])
    with path.open() as file:
        assert list(csv.DictReader(file)) == [{"seed": "0", "a": "1", "b": ""}, {"seed": "1", "a": "", "b": "2"}]


def test_step_time_measures_each_contestant(capsys):
    rows = step_time.run({"plane": TINY["plane"]}, repetitions=2, first_steps=False, peak_size=16, threads=(1,))
    assert rows[0]["who"] == "ours"
    assert all(float(row["median_ms"]) > 0.0 and row["device"] == _measure.device() for row in rows)
    assert "GFLOP/s" in capsys.readouterr().out


@pytest.mark.parametrize("name", TINY)
def test_counted_matmul_flops_are_those_that_pytorch_counts(name):
    pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    case = TINY[name]
    step, real = step_time.torch_step(case)
    with FlopCounterMode(display=False) as counter:
        step(real)
    assert step_time.matmul_flops(case) == counter.get_total_flops()


def test_our_step_does_no_other_matmul_than_those_counted():
    case = TINY["plane"]._replace(steps_per_dispatch=1)
    program, state, batches = step_time.our_step(case)
    # Before optimisation, which writes small products as sums, but without what nobody reads.
    jaxpr = jax.make_jaxpr(program)(state, batches).jaxpr.eqns[0].params["jaxpr"].jaxpr
    jaxpr, *_ = pe.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    assert step_time.matmul_flops(case) == _dot_flops(jaxpr)


def _dot_flops(jaxpr):
    total = 0
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            inner = np.prod([eqn.invars[0].aval.shape[axis] for axis in contracted])
            total += 2 * int(inner * np.prod(eqn.outvars[0].aval.shape))
        for inner_jaxpr in jaxprs_in_params(eqn.params):
            total += _dot_flops(inner_jaxpr)
    return total


@pytest.mark.parametrize("name", TINY)
def test_torch_networks_compute_what_ours_do(name, key):
    torch = pytest.importorskip("torch")
    case = TINY[name]
    generator, critic = networks.pair(case.network, shape=case.shape, latent_dim=case.latent_dim)
    g_key, d_key, z_key = jax.random.split(key, 3)
    latents = jax.random.normal(z_key, (case.batch_size, case.latent_dim))
    examples = step_time.examples(case, 1)[0]
    g_params, g_state = generator.init(g_key, latents)
    d_params, d_state = critic.init(d_key, jnp.asarray(examples))
    their_generator, their_critic = step_time.torch_pair(case)
    # The dense layer of ours is a transposed convolution of theirs, and the last dense layer a convolution.
    width = 2 * case.network.width
    _load(their_generator, g_params, {"Dense_0": lambda w: w.reshape(-1, 4, 4, width).transpose(0, 3, 1, 2)})
    _load(their_critic, d_params, {"logit": lambda w: w.reshape(4, 4, width, 1).transpose(3, 2, 0, 1)})
    with torch.no_grad():
        samples = their_generator(torch.tensor(np.array(latents))).numpy()
        logits = their_critic(torch.tensor(np.moveaxis(examples, -1, 1))).numpy()
    ours, _ = generator.apply(g_params, g_state, latents, train=True)
    np.testing.assert_allclose(np.moveaxis(samples, 1, -1), ours, rtol=2e-4, atol=1e-5)
    ours, _ = critic.apply(d_params, d_state, jnp.asarray(examples), train=True)
    np.testing.assert_allclose(logits, ours, rtol=2e-4, atol=1e-5)


def _load(module, params, special):
    """Copy parameters in the order of the layers; `special` layouts are for images only."""
    import torch

    images = any(isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d) for layer in module)
    layers = [layer for layer in module if list(layer.parameters())]
    leaves = _in_order(params)
    for layer in layers:
        for tensor, ours in zip(layer.parameters(), leaves(layer), strict=True):
            name, kind, value = ours
            value = np.array(value)
            if kind == "kernel" and images and name in special:
                value = special[name](value)
            elif kind == "kernel" and images:
                transposed = isinstance(layer, torch.nn.ConvTranspose2d)
                value = value.transpose((2, 3, 0, 1) if transposed else (3, 2, 0, 1))
            elif kind == "kernel":
                value = value.T
            with torch.no_grad():
                tensor.copy_(torch.tensor(value))


def _in_order(params):
    """Hand out parameters layer by layer: kernels and norms each in the order of their names."""
    dense = iter(sorted((n for n in params if "Norm" not in n), key=lambda n: (n == "logit", n.startswith("Conv"), n)))
    norms = iter(sorted(n for n in params if "Norm" in n))

    def take(layer):
        name = next(norms) if "BatchNorm" in type(layer).__name__ else next(dense)
        kinds = [kind for kind in ("kernel", "scale", "bias") if kind in params[name]]
        return [(name, kind, params[name][kind]) for kind in kinds]

    return take


def test_loss_overhead_compares_times_and_programs():
    rows = loss_overhead.run(("relativistic_paired",), width=4, batch_size=4, repetitions=2)
    assert [row["penalty"] for row in rows] == ["", "r1"]
    assert all(row["catalog_operations"] > 100 for row in rows)


@pytest.mark.parametrize("name", loss_overhead.INLINE)
def test_inline_formulas_are_the_losses_that_they_stand_for(name):
    real, fake = jnp.array([0.3, -1.2]), jnp.array([0.9, 2.0])
    for player in ("discriminator", "generator"):
        ours = getattr(adversarial.get(name), player)(real, fake)
        np.testing.assert_allclose(getattr(loss_overhead.INLINE[name], player)(real, fake), ours, rtol=1e-6)


def test_a_costlier_loss_has_other_operations():
    inline = loss_overhead.INLINE["wasserstein"]
    costly = inline._replace(discriminator=lambda real, fake: fake - real + jnp.sin(real))
    counts = []
    for loss in (inline, costly):
        program, state, batches = loss_overhead.step_with(loss, None, 4, 4)
        counts.append(loss_overhead.operations(program.lower(state, batches).compile()))
    assert counts[0] != counts[1]


def test_ablation_measures_each_contestant(capsys):
    rows = ablation.run(
        {"plane": SHALLOW}, repetitions=2, losses=("hinge",), seeds=2, threads=(1,), heads=(), members=()
    )
    assert {"engine", "engine-1", "alone"} <= {row["who"] for row in rows}
    assert all(float(row["median_us"]) > 0.0 and row["device"] == _measure.device() for row in rows)
    assert "the engine is" in capsys.readouterr().out


@pytest.mark.slow
def test_ablation_measures_heads():
    heads = (*ablation.FIXED_HEADS, "hinge", "softmax")
    rows = ablation.run({"plane": SHALLOW}, repetitions=2, losses=("hinge",), seeds=1, heads=heads, members=())
    rows = [row for row in rows if "heads" in row["what"]]
    assert [row["who"] for row in rows] == ["uniform", "mixed", "uniform", "mixed"]
    assert {row["what"] for row in rows} == {f"2 heads against {head} alone" for head in ablation.FIXED_HEADS}
    assert all(float(row["ratio"]) > 0.0 for row in rows)


@pytest.mark.slow
def test_ablation_measures_memory_and_time_of_many_members(monkeypatch, capsys):
    monkeypatch.setitem(ablation.CASES, "plane", SHALLOW)
    ablation.many("plane", 8, 8, repetitions=1)
    row = json.loads(capsys.readouterr().out)
    assert (row["members"], row["chunk"]) == (8, "8")
    assert row["megabytes"] >= row["megabytes_before"] > 0


def test_members_of_the_ablation_have_the_networks_of_the_peers():
    (group,) = ablation.groups_of(TINY["plane"], ("hinge", "minimax"), seeds=3, rates=2)
    assert len(group.members) == 12 and group.switched == ("loss_index",)
    _, state, _ = step_time.our_step(TINY["plane"])
    ours, _ = planning.shapes(group)
    assert jax.tree.map(jnp.shape, ours.params) == jax.tree.map(jnp.shape, state.params)


def test_losses_of_the_peer_are_ours():
    torch = pytest.importorskip("torch")
    from benchmarks import torch_peers

    assert set(torch_peers.LOSSES) == set(ablation.LOSSES)
    logits = [np.array([0.3, -1.2], np.float32), np.array([0.9, 2.0], np.float32)]
    for name, theirs in torch_peers.LOSSES.items():
        for player in ("discriminator", "generator"):
            ours = getattr(adversarial.get(name), player)(*logits)
            got = getattr(theirs, player)(*map(torch.tensor, logits))
            np.testing.assert_allclose(got, ours, rtol=1e-6, atol=1e-6)
            if player == "generator" and not theirs.sees_real:
                np.testing.assert_allclose(theirs.generator(None, torch.tensor(logits[1])), ours, rtol=1e-6, atol=1e-6)


def test_a_member_of_a_torch_ensemble_is_the_same_step_alone(monkeypatch):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_peers

    # Latents are all alike, so that it does not matter who draws which.
    monkeypatch.setattr(torch, "randn", lambda *shape: torch.linspace(-1.0, 1.0, shape[-1]).expand(shape))
    case = TINY["plane"]
    settings = {"latent_dim": case.latent_dim, "learning_rate": 0.1, "betas": (case.b1, case.b2)}
    # Of a relativistic loss the last bias has no gradient but rounding noise, which Adam would scale to a step.
    loss = torch_peers.LOSSES["non_saturating"]
    pairs = [step_time.torch_pair(case) for _ in range(2)]
    before = [[value.detach().clone() for module in pair for value in module.parameters()] for pair in pairs]
    real = torch.tensor(step_time.examples(case, 2))
    together, moved = torch_peers.ensemble_step(pairs, loss=loss, **settings)
    for _ in range(3):
        together(real)
    for index, pair in enumerate(pairs):
        step = torch_peers.gan_step(*pair, loss=loss, **settings)
        for _ in range(3):
            step(real[index])
        alone = [value.detach() for module in pair for value in module.parameters()]
        stacked = [value[index].detach() for params in moved for value in params.values()]
        for own, theirs, start in zip(alone, stacked, before[index], strict=True):
            np.testing.assert_allclose(own, theirs, rtol=1e-4, atol=1e-5)
            assert not np.allclose(own, start)


def test_plane_members_are_the_runs_of_their_seeds(config):
    setup = training.from_config(config)
    seeds = [3, 5]
    (_, states), *rest = plane.train(setup, seeds, [4], steps_per_dispatch=3)
    assert not rest
    step = jax.jit(setup.step)
    for index, seed in enumerate(seeds):
        state, stream = setup.state(seed), setup.stream(seed)
        for _ in range(4):
            state, _ = step(state, jax.tree.map(lambda leaf: leaf[0], stream.read(1)))
        member = jax.tree.map(lambda leaf, index=index: leaf[index], states.params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), member, state.params)


def test_plane_gives_a_row_per_seed_and_evaluation(config):
    lines, steps = [], []
    rows = plane.run(config, [0, 1, 2], members=2, evaluations=2, label="ring", note=lines.append, advance=steps.append)
    assert [(row["seed"], row["step"]) for row in rows] == [(0, 2), (1, 2), (0, 4), (1, 4), (2, 2), (2, 4)]
    assert len(lines) == 4
    assert sum(steps) == 2 * 4
    evaluator = metrics.evaluator(training.from_config(config).dataset, config)
    last = [float(row["reverse_kl"]) for row in rows if row["step"] == 4]
    assert f"{np.mean(last):.4g}" in plane.summary(rows, evaluator)


def test_plane_refuses_no_seeds(config):
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        plane.run(config, [])


def test_reconstruction_gives_a_row_per_contestant_and_seed(capsys):
    configs = {name: reconstruction.contestant(name, "smoke") for name in ("vae", "vae_gan without its game")}
    assert configs["vae_gan without its game"].adversarial_autoencoder.adversarial_weight == 0.0
    kept = []
    rows = reconstruction.run(configs, [0, 1], keep=kept.extend)
    assert rows == kept
    assert [(row["contestant"], row["seed"]) for row in rows] == [(name, seed) for name in configs for seed in (0, 1)]
    errors = [float(row["reconstruction_squared_error"]) for row in rows[:2]]
    assert errors[0] != errors[1]
    assert f"{np.mean(errors):.4g}" in capsys.readouterr().out


def test_verdicts_are_counted_for_every_kind_of_study(capsys):
    rows = verdicts.run((6,), (2, 3), (2,), repetitions=2)
    kinds = {(row["truth"], row["entries"], row["cells"]) for row in rows}
    assert {("same", 2, 1), ("planted", 3, 1), ("ladder", 3, 1), ("same", 2, 2), ("uneven", 2, 2)} <= kinds
    assert all(0.0 <= float(row["right"]) <= 1.0 for row in rows)
    assert "truth planted" in capsys.readouterr().out


def test_a_verdict_on_a_difference_far_above_the_noise_is_right(monkeypatch):
    monkeypatch.setattr(verdicts, "PLANTED", 40.0)
    for truth, cells in (("planted", 1), ("ladder", 1), ("planted", 3)):
        assert verdicts.right(truth, 6, 3, cells, "gaussian", 0.3, np.random.default_rng(0))
