"""The scripts that run on machines elsewhere, run here: with a stand-in for what they call, where it is not here."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

FOLDER = Path("experiments/cloud")
SCRIPTS = sorted(FOLDER.glob("*.sh"))


@pytest.fixture
def there(tmp_path):
    """Give a copy of the scripts in a repository of their own, as on a machine elsewhere."""
    shutil.copytree(FOLDER, tmp_path / "experiments" / "cloud")
    return tmp_path


def run(there, script, *args, **env):
    command = ["bash", str(there / "experiments" / "cloud" / script), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **env})


def stand_in(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_read_it(script):
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "set -euo pipefail" in script.read_text()


def test_a_started_command_outlives_its_starter_and_is_stopped_by_a_signal(there):
    # As a run does: asked to stop, it saves and ends.
    program = "trap 'echo saved; exit 143' TERM; echo running \"$1\"; while true; do sleep 0.05; done"
    started = run(there, "start.sh", "bash", "-c", program, "bash", "a b")
    assert started.returncode == 0, started.stderr
    log = there / "run.log"
    deadline = time.monotonic() + 20
    while "running a b" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    again = run(there, "start.sh", "true")
    assert again.returncode == 1
    assert "still runs here; stop it first" in again.stderr
    stopped = run(there, "stop.sh")
    assert stopped.returncode == 0, stopped.stderr
    assert log.read_text().splitlines() == ["running a b", "saved"]
    assert "nothing runs here" in run(there, "stop.sh").stdout
    assert run(there, "start.sh", "true").returncode == 0


@pytest.mark.parametrize(("last", "code"), [("ACTIVE", 0), ("FAILED", 1), ("SUSPENDED", 1)])
def test_waiting_ends_when_the_slice_is_there_or_will_not_come(last, code, there):
    asked = there / "asked"
    stand_in(
        there / "bin",
        "gcloud",
        f'echo "$@" >>{asked}; [ "$(wc -l <{asked})" -lt 3 ] && echo WAITING_FOR_RESOURCES || echo {last}',
    )
    path = f"{there / 'bin'}:{os.environ['PATH']}"
    result = run(there, "wait.sh", "digits", "my-project", "us-west4-a", PATH=path, POLL_SECONDS="0")
    assert result.returncode == code
    assert result.stdout.splitlines() == ["digits: WAITING_FOR_RESOURCES", f"digits: {last}"]
    words = "compute tpus queued-resources describe digits --project=my-project --zone=us-west4-a"
    assert asked.read_text().splitlines() == 3 * [f"{words} --format=value(state.state)"]


@pytest.mark.parametrize(
    ("kind", "extra"), [("tpu", ["jax[tpu]==1.2.3", "gcsfs"]), ("cuda13", ["jax[cuda13]==1.2.3"]), ("cpu", [])]
)
def test_setup_installs_the_locked_requirements_and_what_the_accelerator_needs_beside_them(kind, extra, there):
    asked = there / "asked"
    python = "#!/bin/sh\necho 1.2.3\n"
    stand_in(
        there / "bin",
        "uv",
        f"echo \"$@\" >>{asked}; mkdir -p .venv/bin; printf '{python}' >.venv/bin/python; chmod +x .venv/bin/python",
    )
    path = f"{there / 'bin'}:{os.environ['PATH']}"
    result = run(there, "setup.sh", kind, PATH=path, HOME=str(there))
    assert result.returncode == 0, result.stderr
    venv, lock, ours, *more = asked.read_text().splitlines()
    assert "--python 3.12" in venv
    assert "--requirement requirements.lock" in lock
    assert "--no-deps --editable ." in ours
    assert [line.rpartition(" ")[2] for line in more] == extra


@pytest.mark.parametrize("kind", [(), ("gpu",)])
def test_setup_asks_what_computes_there(kind, there):
    result = run(there, "setup.sh", *kind)
    assert result.returncode == 2
    assert result.stderr.startswith("error: say what computes here: setup.sh tpu, cuda13 or cpu")


def test_the_image_copies_what_is_there_and_enough_to_train():
    copied = [
        word
        for line in (FOLDER / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY")
        for word in line.split()[1:-1]
    ]
    assert all(Path(word).exists() for word in copied)
    assert {"genloss_jax", "experiments", "configs", "requirements.lock", "pyproject.toml"} <= set(copied)


def test_actions_in_the_readme_are_those_of_the_launchers():
    from experiments.cloud import sky, slurm, tpu, xpk

    page = (FOLDER / "README.md").read_text()
    modules = {"tpu": tpu, "xpk": xpk, "sky": sky, "slurm": slurm}
    commands = re.findall(r"experiments\.cloud\.(\w+)(?:.|\\\n)*?--action=([\w,]+)", page)
    assert {module for module, _ in commands} == set(modules)
    for module, actions in commands:
        assert set(actions.split(",")) <= set(modules[module].ACTIONS), (module, actions)
