"""Every config, through the real main: two steps, and what they leave behind."""

import importlib
import json
from pathlib import Path

import jax
import pytest

from experiments import evaluate, report, sample, train
from genloss_jax import data, objectives, training

NAMES = sorted(path.stem for path in Path("configs").glob("*.py") if path.stem != "base")
NEED_NETWORK = {"dcgan_mnist", "dcgan_cifar10", "dcgan_celeba64"}
# One of each family, which the default suite runs; all others are slow tests.
QUICK = {"gan_ring", "cgan_digits", "aae", "ebm_nce", "flow_matching", "hvae", "pixelcnn", "realnvp", "vae", "vq_vae"}


def config_of(name, variant=""):
    return importlib.import_module(f"configs.{name}").get_config(variant)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NAMES if name not in NEED_NETWORK],
)
def test_two_steps_through_main_leave_a_whole_run(name, tmp_path):
    values = train.run(config_of(name, "smoke"), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert {f"evaluation/{metric}" for metric in values} <= set(lines[-1])
    assert (tmp_path / "samples.png").stat().st_size > 0


def test_a_finished_run_is_evaluated_and_sampled_and_not_trained_again(tmp_path, capsys):
    config = config_of("gan_ring", "smoke")
    values = train.run(config, tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    assert train.run(config, tmp_path) == values
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert evaluate.run(tmp_path) == evaluate.run(tmp_path, "best") == values
    assert "real against real" in capsys.readouterr().out
    assert sample.run(tmp_path, tmp_path / "out" / "points.npy", num=5).shape == (5, 2)
    sample.run(tmp_path, tmp_path / "points.png", num=5)
    assert (tmp_path / "points.png").stat().st_size > 0
    assert report.run([str(tmp_path)], tmp_path / "report") == {tmp_path.name: values}
    page = (tmp_path / "report" / "report.md").read_text()
    assert f"| metric | {tmp_path.name} | real against real | better is |" in page
    assert f"| modes_covered | {values['modes_covered']:.4g} | 8 ± 0 | higher |" in page
    assert (tmp_path / "report" / "report.png").stat().st_size > 0


def test_report_refuses_runs_that_cannot_be_compared(tmp_path):
    with pytest.raises(ValueError, match="directories have different names"):
        report.run([str(tmp_path / "a" / "run"), str(tmp_path / "b" / "run")], tmp_path / "report")
    for name, num_samples in (("few", 64), ("more", 65)):
        config = config_of("gan_ring", "smoke").copy_and_resolve_references()
        with config.unlocked():
            config.evaluation.num_samples = num_samples
        train.run(config, tmp_path / name)
    with pytest.raises(ValueError, match=r"cannot be compared: few has .*64.*, more has .*65"):
        report.run([str(tmp_path / "few"), str(tmp_path / "more")], tmp_path / "report")


def test_every_family_has_a_quick_config():
    assert {config_of(name).family for name in QUICK} == set(objectives.FAMILIES)


@pytest.mark.parametrize("name", NAMES)
def test_config_is_locked_short_and_names_its_command(name):
    path = Path("configs") / f"{name}.py"
    text = path.read_text()
    assert config_of(name).is_locked
    assert f"--config=configs/{name}.py" in text
    assert len(text.split("def get_config")[1].splitlines()) <= 25


@pytest.mark.parametrize("name", sorted(NEED_NETWORK))
def test_config_of_a_public_dataset_says_clearly_that_it_is_not_there(name, tmp_path):
    config = config_of(name, "smoke")
    config.data.data_dir = str(tmp_path)
    with pytest.raises(ValueError, match=config.data.name):
        training.from_config(config)


def test_paper_values_of_dcgan_at_64_pixels():
    config = config_of("dcgan_celeba64")
    assert (config.latent.dim, config.data.batch_size, config.data.image_size) == (100, 64, 64)
    assert (config.optimizer.name, config.optimizer.learning_rate, config.optimizer.b1) == ("adam", 2e-4, 0.5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("loss", "relativistic_average_hinge"),
        ("penalty.name", "r1+lecam"),
        ("inputs.instance_noise", 0.1),
        ("inputs.pack", 2),
        ("top_k", 0.5),
        ("optimizer.name", "optimistic_adam"),
        ("optimizer.clip_gradient_norm", 1.0),
        ("players.discriminator.clip_weights", 0.01),
        ("players.discriminator.moves", 2),
        ("generator_penalty.name", "mode_seeking"),
        ("schedule.play", "extragradient"),
        ("training.on_nonfinite", "skip"),
        ("networks.spectral_norm", True),
    ],
)
def test_each_option_composes_with_the_rest(field, value):
    config = config_of("r3gan_ring", "smoke")
    config.data.batch_size = 4
    config.generator_penalty.weight = 0.1
    config.update_from_flattened_dict({field: value})
    setup = training.from_config(config)
    state, metrics = jax.jit(setup.step)(setup.state(0), {"x": setup.stream(0).read(1)["x"][0]})
    assert int(state.step) == 1
    assert all(bool(abs(metric) < 1e6) for metric in metrics.values())


def test_a_penalty_is_there_if_it_has_a_weight():
    config = config_of("gan_ring", "smoke")
    assert "r1_weight" not in training.from_config(config).hyper
    config.penalty.weight = 10.0
    assert training.from_config(config).hyper["r1_weight"] == 10.0


def test_data_of_one_config_is_loaded_by_its_own_name():
    assert data.load(config_of("r3gan_grid").data).modes.centers.shape == (25, 2)
