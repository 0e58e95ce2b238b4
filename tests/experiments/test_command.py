"""Mistakes at the command line: one clear sentence, the nearest valid name, a non-zero exit, no traceback."""

import subprocess
import sys

import pytest

DIGITS = "--config=configs/gan_ring.py:smoke"


def run(*args, module="train"):
    command = [sys.executable, "-m", f"experiments.{module}", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([DIGITS, "--workdr={tmp}"], ["unknown flag --workdr", "'workdir'"]),
        ([DIGITS, "--workdir={tmp}", "--config.los=hinge"], ["no field los", '"loss"']),
        ([DIGITS, "--workdir={tmp}", "--config.penalty.wieght=1"], ["no field wieght", '"weight"']),
        ([DIGITS, "--workdir={tmp}", "--config.penalti.weight=1"], ["no field penalti"]),
        ([DIGITS, "--workdir={tmp}", "--config.penalty.weight=ten"], ["config.penalty.weight=ten"]),
        ([DIGITS, "--workdir={tmp}", "--config.loss=hing"], ["'hing'", "'hinge'"]),
        ([DIGITS, "--workdir={tmp}", "--config.penalty.name=r11"], ["penalty", "'r11'", "'r1'"]),
        ([DIGITS, "--workdir={tmp}", "--config.data.name=rign"], ["'rign'", "'ring'"]),
        ([DIGITS, "--workdir={tmp}", "--config.networks.name=dcgan"], ["dcgan", "(2,)"]),
        ([DIGITS, "--workdir={tmp}", "--config.networks.name=mpl"], ["'mpl'", "mlp"]),
        ([DIGITS, "--workdir={tmp}", "--config.inputs.pack=3"], ["8 examples", "3"]),
        ([DIGITS, "--workdir={tmp}", "--config.family=gna"], ["'gna'", "'gan'"]),
        ([DIGITS, "--workdir={tmp}", "--config.optimizer.name=adm"], ["'adm'", "'adam'"]),
        ([DIGITS, "--workdir={tmp}", "--config.schedule.play=turns"], ["schedule.play", "'alternating'"]),
        (["--config=configs/gan_rng.py", "--workdir={tmp}"], ["gan_rng.py", "gan_ring.py"]),
        (["--config=configs/gan_ring.py:smok", "--workdir={tmp}"], ["'smok'", "'smoke'"]),
        ([DIGITS], ["--workdir is missing"]),
        (["--workdir={tmp}"], ["--config is missing"]),
        ([DIGITS, "--workdir={tmp}", "stray"], ["stray argument 'stray'"]),
        ([DIGITS, "--workdir=/proc/nowhere"], ["/proc/nowhere"]),
    ],
)
def test_a_mistake_ends_in_one_clear_sentence(args, says, tmp_path):
    result = run(*(arg.format(tmp=tmp_path) for arg in args))
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    sentences = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1
    assert all(words in sentences[0] for words in says), sentences


@pytest.mark.parametrize("module", ["evaluate", "sample"])
def test_a_workdir_without_a_run_is_named(module, tmp_path):
    result = run(f"--workdir={tmp_path}/runz", module=module)
    assert result.returncode == 1
    assert "holds no run" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_names_the_flags():
    result = run("--help")
    assert "--workdir" in result.stdout
    assert "configs/gan_digits.py" in result.stdout
