"""Runs in a bucket, without a network: the bucket is a file system in memory, and checkpoints lie in a folder."""

import importlib
import json
import sys
from types import SimpleNamespace

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from configs import gan_ring
from experiments import ablate, evaluate, remote, report, sample, saved, train
from genloss_jax import training
from genloss_jax.training import records

ADDRESS = "gs://bucket/runs/ring"


@pytest.fixture
def bucket(monkeypatch):
    """Stand in for all buckets, and write down what is sent."""

    class Bucket(MemoryFileSystem):
        protocol = "gs"

        @classmethod
        def _strip_protocol(cls, path):
            return super()._strip_protocol(path.replace("gs://", "memory://", 1))

        def pipe_file(self, path, value, **kwargs):
            self.sent.append(path.removeprefix("/bucket/runs/ring/"))
            super().pipe_file(path, value, **kwargs)

    # Those of its parent are shared by the whole session.
    Bucket.store, Bucket.pseudo_dirs, Bucket.sent = {}, [""], []
    # The dictionary and not `register_implementation`, which cannot be undone.
    monkeypatch.setitem(importlib.import_module("fsspec.registry")._registry, "gs", Bucket)
    return Bucket()


def names_in(bucket):
    return {path.removeprefix("/bucket/runs/ring/") for path in bucket.find(ADDRESS)}


def steps_in(bucket):
    return [json.loads(line)["step"] for line in bucket.cat(f"{ADDRESS}/metrics.jsonl").splitlines()]


class TestRecords:
    def test_of_a_path_are_written_to_it(self, tmp_path):
        with remote.records_of(tmp_path) as kept:
            assert kept.local == tmp_path
            kept.push()
        assert list(tmp_path.iterdir()) == []

    def test_only_what_changed_is_sent(self, bucket):
        with remote.records_of(ADDRESS) as kept:
            (kept.local / "config.json").write_text("{}")
            (kept.local / "metrics.jsonl").write_text("1\n")
            kept.push()
            assert sorted(bucket.sent) == ["config.json", "metrics.jsonl"]
            (kept.local / "pictures").mkdir()
            (kept.local / "pictures" / "a.png").write_bytes(b"a")
            (kept.local / "metrics.jsonl").write_text("1\n2\n")
            kept.push()
            kept.push()
        assert sorted(bucket.sent[2:]) == ["metrics.jsonl", "pictures/a.png"]
        assert bucket.cat(f"{ADDRESS}/metrics.jsonl") == b"1\n2\n"

    def test_begin_with_what_is_in_the_bucket_but_checkpoints_and_send_none_of_it_back(self, bucket):
        bucket.pipe({f"{ADDRESS}/{name}": name.encode() for name in ("config.json", "a/b.png", "checkpoints/2/x")})
        bucket.sent.clear()
        with remote.records_of(f"{ADDRESS}/") as kept:
            found = {path.relative_to(kept.local).as_posix() for path in kept.local.rglob("*") if path.is_file()}
            assert found == {"config.json", "a/b.png"}
            assert (kept.local / "a" / "b.png").read_bytes() == b"a/b.png"
        assert bucket.sent == []
        assert not kept.local.exists()
        assert names_in(bucket) == {"config.json", "a/b.png", "checkpoints/2/x"}

    def test_that_are_removed_are_removed_from_the_bucket(self, bucket):
        bucket.pipe({f"{ADDRESS}/{name}": b"" for name in ("pictures/1.png", "pictures/2.png", "checkpoints/2/x")})
        with remote.records_of(ADDRESS) as kept:
            (kept.local / "pictures" / "2.png").unlink()
        assert names_in(bucket) == {"pictures/1.png", "checkpoints/2/x"}

    def test_reach_the_bucket_when_the_run_breaks_off(self, bucket):
        with pytest.raises(SystemExit), remote.records_of(ADDRESS) as kept:
            (kept.local / "metrics.jsonl").write_text("1\n")
            sys.exit(143)
        assert names_in(bucket) == {"metrics.jsonl"}

    def test_of_a_process_that_does_not_write_are_the_config_and_stay_where_they_are(self, bucket):
        bucket.pipe({f"{ADDRESS}/config.json": b"{}", f"{ADDRESS}/metrics.jsonl": b"1\n"})
        bucket.sent.clear()
        with remote.records_of(ADDRESS, writes=False) as kept:
            assert [path.name for path in kept.local.iterdir()] == ["config.json"]
            (kept.local / "config.json").write_text("other")
            kept.push()
        assert bucket.sent == []


def test_an_address_of_something_else_is_refused():
    with (
        pytest.raises(ValueError, match=r"gs://bucket/path, got 's3://bucket/ring'"),
        remote.records_of("s3://bucket/ring"),
    ):
        pass


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ValueError, match=r'pip install "genloss_jax\[gcs\]"'), remote.records_of(ADDRESS):
        pass


def test_a_study_in_a_bucket_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"mount the bucket, .* and give the path where it is mounted"):
        ablate.main(SimpleNamespace(config={}, workdir=ADDRESS, dry_run=False))


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda: sample.run("runs/any", f"{ADDRESS}.png"), r"a picture needs a folder, got --out=gs://.*\.png; mount"),
        (lambda: report.run(["runs/any"], ADDRESS), r"a page needs a folder, got --out=gs://"),
    ],
)
def test_what_is_written_beside_a_run_goes_to_a_folder(write, says):
    with pytest.raises(ValueError, match=says):
        write()


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Put checkpoints into a folder, and write down where they would have been."""
    asked, open_in = [], saved.checkpoints_of

    def checkpoints_of(workdir, config, evaluator):
        asked.append(workdir)
        return open_in(tmp_path, config, evaluator)

    monkeypatch.setattr(saved, "checkpoints_of", checkpoints_of)
    return asked


def config_of(total_steps, **changes):
    config = gan_ring.get_config("smoke").copy_and_resolve_references()
    with config.unlocked():
        config.training.total_steps = total_steps
        config.update(changes)
    return config.lock()


def test_a_run_in_a_bucket_is_gone_on_with_and_evaluated_on_a_machine_that_has_nothing_of_it(bucket, opened, capsys):
    train.run(config_of(2), ADDRESS)
    first = {
        "config.json",
        "versions.json",
        "metrics.jsonl",
        "timing.jsonl",
        "samples.png",
        "pictures/samples_00000002.png",
    }
    assert first < names_in(bucket)
    assert any(name.startswith("tensorboard/events") for name in names_in(bucket))
    assert steps_in(bucket) == [1, 2]
    values = train.run(config_of(4), ADDRESS)
    assert "going on from step 2 of gs://bucket/runs/ring" in capsys.readouterr().err
    assert steps_in(bucket) == [1, 2, 3, 4]
    assert first | {"pictures/samples_00000004.png"} < names_in(bucket)
    assert json.loads(bucket.cat(f"{ADDRESS}/config.json"))["training"]["total_steps"] == 4
    assert evaluate.run(ADDRESS) == values
    assert opened == 3 * [ADDRESS]
    with pytest.raises(records.WorkdirError, match="workdir gs://bucket/runs/ring holds a run with another config"):
        train.run(config_of(4, loss="hinge"), ADDRESS)


def test_every_line_up_to_a_checkpoint_is_in_the_bucket_before_it(bucket, opened, monkeypatch):
    found, save = {}, training.Checkpoints.save

    def spy(self, step, *args):
        found[step] = steps_in(bucket)
        save(self, step, *args)

    monkeypatch.setattr(training.Checkpoints, "save", spy)
    train.run(config_of(4), ADDRESS)
    assert found == {2: [1, 2], 4: [1, 2, 3, 4]}


def test_a_workdir_without_a_run_is_named(bucket):
    with pytest.raises(ValueError, match=r"workdir 'gs://bucket/runs/ring' holds no run"):
        evaluate.run(ADDRESS)


def test_the_address_reaches_the_checkpoints_intact(monkeypatch):
    found = []
    monkeypatch.setattr(training, "Checkpoints", lambda directory, **_: found.append(directory))
    evaluator = SimpleNamespace(primary="kl", directions={"kl": "lower"})
    saved.checkpoints_of(ADDRESS, config_of(2), evaluator)
    assert found == ["gs://bucket/runs/ring/checkpoints"]
