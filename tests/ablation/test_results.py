import json

import numpy as np
import pandas as pd
import pytest

from genloss_jax.ablation import load, results

AXES = ["loss", "penalty", "weight", "average", "seed"]


def study(workdir):
    """Write a small study whose axes hold what CSV readers like to change."""
    settings = [
        ("hinge", "none", 0.1, True, 0),
        ("NA", "", "none", False, 0),
        ("1e3x", "null", 10, True, 1),
        ("nan", 'a "quoted", name', 1e-30, False, 1),
    ]
    members = pd.DataFrame(settings, columns=AXES).assign(
        member=range(4),
        group="0",
        command="python -m experiments.train",
        failed_step=[None, 200, None, None],
        failed_term=["", "generator/loss", "", ""],
    )
    rows = [
        {"study": "s", "group": "0", "member": member, **dict(zip(AXES, setting, strict=True))}
        | {"step": step, "metric": "kl", "value": np.nan if (member, step) == (1, 200) else 1 / 3 + member / step}
        for member, setting in enumerate(settings)
        for step in (100, 200)
    ]
    table = pd.DataFrame(rows)
    results.write_csv(workdir / results.TABLE, table)
    results.write_csv(workdir / results.MEMBERS, members)
    (workdir / results.STUDY).write_text(json.dumps({"axes": AXES}))
    return table, members


def test_axis_values_come_back_as_they_were(tmp_path):
    table, members = study(tmp_path)
    read = load(tmp_path)
    for axis in AXES:
        assert read.table[axis].tolist() == table[axis].tolist()
        assert list(map(type, read.members[axis])) == list(map(type, members[axis]))


def test_numbers_come_back_bit_by_bit(tmp_path):
    table, _ = study(tmp_path)
    np.testing.assert_array_equal(load(tmp_path).table["value"], table["value"])
    values = np.random.default_rng(0).lognormal(0.0, 50.0, 2000)
    results.write_csv(tmp_path / "values.csv", pd.DataFrame({"value": values}))
    np.testing.assert_array_equal(results.read_csv(tmp_path / "values.csv", [])["value"], values)


def test_sound_members_have_neither_step_nor_term_of_failure(tmp_path):
    study(tmp_path)
    members = load(tmp_path).members
    assert members["failed_step"].notna().tolist() == [False, True, False, False]
    assert members["failed_step"][1] == 200
    assert members["failed_term"].tolist() == ["", "generator/loss", "", ""]


def test_equal_content_gives_equal_bytes(tmp_path):
    table, members = study(tmp_path)
    read = load(tmp_path)
    for name, original, again in ((results.TABLE, table, read.table), (results.MEMBERS, members, read.members)):
        written = (tmp_path / name).read_bytes()
        for frame in (again, original.sample(frac=1.0, random_state=0)):
            results.write_csv(tmp_path / "again" / name, frame)
            assert (tmp_path / "again" / name).read_bytes() == written


def test_samples_are_there_where_they_were_kept(tmp_path):
    study(tmp_path)
    assert load(tmp_path).samples == {}
    np.savez(tmp_path / results.SAMPLES, samples=np.zeros((2, 3, 2)), members=np.array([0, 3]))
    samples = load(tmp_path).samples
    assert samples["samples"].shape == (2, 3, 2) and samples["members"].tolist() == [0, 3]


def test_a_missing_file_or_column_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match=r"has no study\.json, table\.csv, members\.csv, expected the directory"):
        load(tmp_path)
    table, _ = study(tmp_path)
    results.write_csv(tmp_path / results.TABLE, table.drop(columns=["penalty", "value"]))
    with pytest.raises(ValueError, match=r"table\.csv has no column penalty, value"):
        load(tmp_path)
