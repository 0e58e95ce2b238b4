"""A study end to end: planned, trained, written down, killed and gone on with."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.ablations import base
from experiments import ablate, train
from genloss_jax.ablation import grid, study
from genloss_jax.losses import adversarial

AXES = {"loss": ("hinge", "minimax"), "learning_rate": (1e-3, 1e-4), "seed": (0, 1)}


def settings(axes=AXES, **fields):
    own = base.get_config()
    own.name, own.variant, own.axes = "small", "smoke", axes
    own.overrides = {"training": {"total_steps": 4, "evaluate_every_steps": 2}}
    own.num_kept_samples = 7
    own.update(fields)
    return own.lock()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("study")
    return ablate.run(settings(), workdir, chunk=4), workdir


def test_table_is_tidy_and_whole(finished):
    found, workdir = finished
    table = pd.read_csv(workdir / "table.csv")
    assert list(table) == ["study", "group", "member", "learning_rate", "loss", "seed", "step", "metric", "value"]
    metrics = set(table.metric)
    assert found.study["metric"] in metrics and set(found.study["directions"]) >= metrics
    assert len(table) == 8 * 2 * len(metrics)
    assert set(table.step) == {2, 4}
    assert not table.value.isna().any()
    assert not table.duplicated(["member", "step", "metric"]).any()


def test_a_row_of_the_table_is_what_training_alone_reports(finished, tmp_path):
    found, _ = finished
    prepared = study.prepare(settings(), ablate.loader("smoke"))
    member = prepared.members[5]
    values = train.run(member.config, tmp_path)
    rows = found.table[(found.table.member == 5) & (found.table.step == 4)].set_index("metric").value
    assert set(rows.index) == set(values)
    for name, value in values.items():
        assert rows[name] == pytest.approx(value, rel=1e-4, abs=1e-6)


def test_members_can_be_reproduced_and_say_how_they_ended(finished):
    _, workdir = finished
    members = pd.read_csv(workdir / "members.csv")
    assert list(members.member) == list(range(8))
    assert members.failed_step.isna().all() and members.failed_term.isna().all()
    assert all(
        command.startswith("python -m experiments.train --config=configs/gan_ring.py") for command in members.command
    )
    assert members.command.nunique() == 8


def test_study_says_what_it_was(finished):
    found, workdir = finished
    summary = json.loads((workdir / "study.json").read_text())
    assert summary["compare"] == "loss" and summary["metric"] == "reverse_kl"
    assert summary["axes"] == ["learning_rate", "loss", "seed"]
    assert (summary["num_members"], summary["total_steps"]) == (8, 4)
    (group,) = summary["groups"].values()
    assert (group["members"], group["chunk"], group["mixed"]) == (8, 4, False)
    assert set(summary["floors"]) >= set(found.table.metric)
    with np.load(workdir / "samples.npz") as samples:
        assert samples["samples"].shape == (8, 7, 2) and samples["real"].shape == (7, 2)


def test_a_finished_study_is_not_trained_again(finished):
    _, workdir = finished
    before = (workdir / "table.csv").read_bytes()
    stops = list(study.run(study.prepare(settings(), ablate.loader("smoke")), workdir))
    assert [(stop.step, stop.seconds) for stop in stops] == [(4, 0.0), (4, 0.0)]
    assert sum(stop.advanced for stop in stops) == 8 * 4
    assert (workdir / "table.csv").read_bytes() == before


def test_another_study_in_its_workdir_is_refused(finished):
    _, workdir = finished
    with pytest.raises(ValueError, match="holds a run with another config"):
        ablate.run(settings({"loss": ("hinge",)}), workdir)


def test_chunks_of_another_size_are_refused(finished):
    _, workdir = finished
    with pytest.raises(ValueError, match=r"chunk is 2, but the study in .* began with other chunks"):
        ablate.run(settings(), workdir, chunk=2)


def test_a_member_that_breaks_leaves_empty_values(tmp_path):
    axes = {"learning_rate": (1e-3, 1e30), "seed": (0,)}
    own = settings(axes, compare="learning_rate")
    with own.unlocked():
        own.overrides.optimizer = {"name": "sgd"}
    found = ablate.run(own, tmp_path, chunk=2)
    assert found.table[found.table.member == 0].value.notna().all()
    assert found.table[(found.table.member == 1) & (found.table.step == 4)].value.isna().all()
    assert pd.isna(found.members.failed_step[0]) and 1 <= found.members.failed_step[1] <= 4
    assert found.members.failed_term[1]


@pytest.mark.parametrize(
    ("fields", "chunk", "message"),
    [
        ({"compare": "penalty"}, 0, "study.compare is 'penalty', which is no axis of the study; it has"),
        ({"metric": "frechet_squared_distance"}, 0, "study.metric is 'frechet_squared_distance', which group g0"),
        (
            {"overrides": {"networks": {"width": 100_000, "depth": 3}}},
            8,
            "members of group g0 .* GB are free; give a smaller --chunk",
        ),
        (
            {"overrides": {"networks": {"width": 100_000, "depth": 3}}},
            0,
            "GB are free; take smaller networks or batches",
        ),
        ({"base": "gan_rnig"}, 0, "unknown base config 'gan_rnig'; did you mean 'gan_ring'"),
    ],
)
def test_a_study_that_cannot_be_run_says_why_before_it_begins(fields, chunk, message):
    with pytest.raises(ValueError, match=message):
        study.prepare(settings(**fields), ablate.loader("smoke"), chunk=chunk)


def test_a_dry_run_prints_the_plan_and_trains_nothing(capsys):
    assert ablate.run(settings(), "", dry_run=True) is None
    out = capsys.readouterr().out
    assert "small: 8 members, 1 programs to compile, 32 member-steps" in out
    assert "2 x learning_rate, 2 x loss, 2 x seed" in out
    assert re.search(r"training takes very roughly \d+:\d\d here", out)


@pytest.mark.slow
def test_a_killed_study_goes_on_and_gives_the_same_table(finished, tmp_path):
    _, whole = finished
    script = (
        "from tests.ablation import test_study as t; from experiments import ablate; import sys; "
        "ablate.run(t.settings(), sys.argv[1], chunk=2)"
    )
    for kill in (True, True, False):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "PYTHONPATH": "."})
        lines = sum(1 for _ in tmp_path.glob("chunks/*.jsonl"))
        while kill and process.poll() is None and sum(1 for _ in tmp_path.glob("chunks/*.jsonl")) == lines:
            time.sleep(0.05)
        if kill:
            process.send_signal(signal.SIGKILL)
        process.wait()
    table = pd.read_csv(tmp_path / "table.csv")
    expected = pd.read_csv(whole / "table.csv")
    assert list(table) == list(expected)
    np.testing.assert_allclose(table.value, expected.value, rtol=1e-4, atol=1e-6)
    alone = tmp_path / "again"
    assert ablate.run(settings(), alone, chunk=2, threads=1) is not None
    assert (alone / "table.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()


STUDIES = sorted(path.stem for path in Path("configs/ablations").glob("*.py") if path.stem != "base")


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_can_be_planned(name):
    for variant in ("", "smoke"):
        own = importlib.import_module(f"configs.ablations.{name}").get_config(variant)
        assert own.is_locked and own.name == name and own.title
        members = grid.members(own, ablate.loader(own.variant))
        assert len(members) >= 2
        assert own.compare in members[0].coordinates
    source = (Path("configs/ablations") / f"{name}.py").read_text()
    assert f"python -m experiments.ablate --config=configs/ablations/{name}.py --workdir=runs/{name}" in source
    assert len(source[source.index("def get_config") :].splitlines()) <= 40


def test_studies_of_all_losses_leave_none_out():
    assert sorted(base.ADVERSARIAL_LOSSES) == sorted(adversarial.names())


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_every_study_runs_to_its_report(name, tmp_path):
    found = ablate.run(importlib.import_module(f"configs.ablations.{name}").get_config("smoke"), tmp_path, chunk=4)
    assert found is not None and len(found.members) == found.study["num_members"]
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
