"""What a run leaves behind, read back by something else than what wrote it."""

import io
import json
import logging
import struct
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from genloss_jax.training import loop, progress, records


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestJsonLines:
    def test_floats_come_back_exactly_and_keys_are_sorted(self, tmp_path):
        writer = records.JsonLines(tmp_path / "new" / "metrics.jsonl")
        value = np.float32(0.1)
        writer.scalars(3, {"z/loss": value, "a/loss": jnp.float32(1 / 3), "members": np.array([1.0, np.inf])})
        writer.scalars(4, {"z/loss": float("nan")})
        writer.close()
        text = (tmp_path / "new" / "metrics.jsonl").read_text().splitlines()
        assert text[0].index("a/loss") < text[0].index("members") < text[0].index("step") < text[0].index("z/loss")
        assert json.loads(text[0]) == {
            "step": 3, "z/loss": float(value), "a/loss": float(np.float32(1 / 3)), "members": [1.0, None],
        }  # fmt: skip
        assert json.loads(text[1]) == {"step": 4, "z/loss": None}

    def test_lines_reach_the_file_before_it_is_closed(self, tmp_path):
        writer = records.JsonLines(tmp_path / "metrics.jsonl")
        writer.scalars(1, {"loss": 1.0})
        assert lines(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 1.0}]
        writer.close()

    def test_resuming_cuts_off_later_and_torn_lines(self, tmp_path):
        path = tmp_path / "metrics.jsonl"
        path.write_text('{"loss": 1.0, "step": 10}\n{"loss": 2.0, "step": 20}\n{"loss": 3.0, "step": 30}\n{"loss": 4.')
        writer = records.JsonLines(path, step=20)
        writer.scalars(30, {"loss": 3.5})
        writer.close()
        assert path.read_text() == '{"loss": 1.0, "step": 10}\n{"loss": 2.0, "step": 20}\n{"loss": 3.5, "step": 30}\n'

    def test_torn_line_of_an_early_step_is_cut_off(self, tmp_path):
        path = tmp_path / "metrics.jsonl"
        path.write_text('{"step": 10}\n{"step": 20}')
        records.JsonLines(path, step=20).close()
        assert path.read_text() == '{"step": 10}\n'

    def test_starting_afresh_empties_the_file(self, tmp_path):
        path = tmp_path / "metrics.jsonl"
        path.write_text('{"step": 10}\n')
        records.JsonLines(path).close()
        assert path.read_text() == ""

    def test_rewinds_while_open(self, tmp_path):
        writer = records.JsonLines(tmp_path / "metrics.jsonl")
        for step in (10, 20, 30):
            writer.scalars(step, {})
        writer.rewind(10)
        writer.scalars(15, {})
        writer.close()
        assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == [10, 15]


class TestTensorBoard:
    def test_scalars_and_images_are_read_back(self, tmp_path):
        writer = records.TensorBoard(tmp_path)
        writer.scalars(7, {"generator/loss": 0.25, "members": [1.0, 2.0]})
        writer.image(7, "samples", np.zeros((4, 5, 3), np.uint8))
        writer.close()
        (events,) = (_events(path) for path in tmp_path.iterdir())
        found = {value.tag: (event.step, value) for event in events for value in event.summary.value}
        assert set(found) == {"generator/loss", "samples"}
        step, value = found["generator/loss"]
        assert (step, value.simple_value) == (7, 0.25)
        assert (found["samples"][1].image.height, found["samples"][1].image.width) == (4, 5)

    def test_resuming_tells_where_earlier_events_end(self, tmp_path):
        writer = records.TensorBoard(tmp_path, step=20)
        writer.close()
        (events,) = (_events(path) for path in tmp_path.iterdir())
        starts = [event.step for event in events if event.HasField("session_log")]
        assert starts == [21]


def _events(path):
    # TFRecord framing: length, its checksum, the record, its checksum.
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        events.append(event_pb2.Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return events


class TestOthers:
    def test_many_hands_to_all_and_null_takes_all(self, tmp_path):
        paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
        images = records.Images(tmp_path / "samples")
        writer = records.Many(records.Null(), images, *(records.JsonLines(path) for path in paths))
        for step in (10, 20):
            writer.scalars(step, {"loss": 1.0})
            writer.image(step, "grid", np.zeros((8, 8, 1), np.uint8))
        writer.rewind(10)
        writer.close()
        for path in paths:
            assert lines(path) == [{"step": 10, "loss": 1.0}]
        assert [path.name for path in (tmp_path / "samples").iterdir()] == ["grid_00000010.png"]

    @pytest.mark.parametrize(
        "kind", [records.Null, records.Many, records.JsonLines, records.TensorBoard, records.Images]
    )
    def test_every_writer_keeps_the_protocol(self, kind):
        assert issubclass(kind, records.Writer)


CONFIG = {"total_steps": 100, "log_every_steps": 10, "loss": "hinge", "optimizer": {"betas": (0.0, 0.9), "rate": 1e-3}}


class TestDescribe:
    def test_writes_config_and_versions(self, tmp_path):
        records.describe(tmp_path / "run", ml_collections.ConfigDict(CONFIG))
        config = json.loads((tmp_path / "run" / "config.json").read_text())
        assert config["optimizer"] == {"betas": [0.0, 0.9], "rate": 1e-3}
        found = json.loads((tmp_path / "run" / "versions.json").read_text())
        assert found["jax"] == jax.__version__ and found["device"] == jax.devices()[0].device_kind

    def test_same_config_goes_on(self, tmp_path):
        records.describe(tmp_path, CONFIG)
        before = (tmp_path / "config.json").read_bytes()
        records.describe(tmp_path, CONFIG)
        assert (tmp_path / "config.json").read_bytes() == before

    def test_many_differences_are_counted_and_not_all_listed(self, tmp_path):
        records.describe(tmp_path, dict.fromkeys("abcdefg", 1))
        with pytest.raises(records.WorkdirError, match=r"e: 1 there, 2 here, and 2 more\)"):
            records.describe(tmp_path, dict.fromkeys("abcdefg", 2))

    def test_another_config_is_refused_with_its_differences(self, tmp_path):
        records.describe(tmp_path, CONFIG)
        other = {**CONFIG, "loss": "wasserstein", "optimizer": {"betas": (0.0, 0.9), "rate": 2e-3}, "seed": 1}
        with pytest.raises(records.WorkdirError) as raised:
            records.describe(tmp_path, other)
        for part in ("loss: 'hinge' there, 'wasserstein' here", "optimizer.rate: 0.001 there, 0.002 here", "seed: "):
            assert part in str(raised.value)
        assert "betas" not in str(raised.value)
        assert json.loads((tmp_path / "config.json").read_text())["loss"] == "hinge"

    def test_budget_may_grow_but_not_shrink(self, tmp_path):
        records.describe(tmp_path, CONFIG)
        records.describe(tmp_path, {**CONFIG, "total_steps": 200, "log_every_steps": 5})
        assert json.loads((tmp_path / "config.json").read_text())["total_steps"] == 200
        with pytest.raises(records.WorkdirError, match="total_steps: 200 there, 100 here"):
            records.describe(tmp_path, CONFIG)

    def test_other_versions_are_told(self, tmp_path, caplog):
        records.describe(tmp_path, CONFIG)
        path = tmp_path / "versions.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "jax": "0.1"}))
        with caplog.at_level(logging.WARNING):
            records.describe(tmp_path, CONFIG)
        assert f"jax 0.1 and goes on with {jax.__version__}" in caplog.text and len(caplog.records) == 1

    def test_commit_is_of_this_checkout_or_none(self):
        commit = records.versions()["commit"]
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(records.__file__).parent, capture_output=True, text=True
        )
        assert commit.removesuffix("+changes") == head.stdout.strip() if head.returncode == 0 else commit is None


def event(step, **fields):
    base = loop.Event(step, None, {}, {"model/loss": 0.5, "model/grad_norm": 2.0}, frozenset(), None, 1.0, 50.0, 0.0)
    return base._replace(**fields)


class TestProgress:
    def test_without_a_terminal_writes_a_line_now_and_then(self):
        out, now = io.StringIO(), [0.0]
        shown = progress.Progress(1000, file=out, clock=lambda: now[0])
        for second, step in ((0, 100), (4, 200), (9, 300), (11, 400), (12, 1000)):
            now[0] = float(second)
            shown.update(event(step))
        shown.close()
        assert out.getvalue().splitlines() == [
            "step 100/1000  50 steps/s  0:18 left  model/loss 0.5",
            "step 400/1000  50 steps/s  0:12 left  model/loss 0.5",
            "step 1000/1000  50 steps/s  0:00 left  model/loss 0.5",
        ]

    def test_shows_chosen_metrics_notes_and_faults(self):
        out = io.StringIO()
        with progress.Progress(1000, file=out, show=["model/grad_norm", "absent"], every_seconds=0.0) as shown:
            shown.update(event(10))
            shown.note("samples: a.png")
            shown.update(event(5, fault=loop.Fault("model/loss", 8), metrics={}))
        assert "model/grad_norm 2" in out.getvalue() and "samples: a.png\n" in out.getvalue()
        assert "model/loss was not finite at step 8: gone back to step 5" in out.getvalue()

    def test_terminal_gets_a_bar(self):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        out = Terminal()
        with progress.Progress(1000, file=out) as shown:
            shown.update(event(500))
            shown.note("halfway")
        assert "500/1000" in out.getvalue() and "halfway" in out.getvalue() and "0:10 left" in out.getvalue()

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0.4, "0:00"), (61.0, "1:01"), (3600.0, "1:00:00"), (90061.0, "25:01:01")]
    )
    def test_durations_read_like_a_clock(self, seconds, text):
        assert progress.duration(seconds) == text
