"""The loop: where it stops, what it names, and that being killed leaves no trace."""

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genloss_jax.objectives import Objective, Variables
from genloss_jax.training import Schedule, make_step
from genloss_jax.training.checkpoints import Checkpoints
from genloss_jax.training.finite import NonFiniteError
from genloss_jax.training.loop import AUTOMATIC_STEPS, run
from genloss_jax.training.preemption import Preemption


class Stream:
    """Batch i holds the number i; those in `bad` hold NaN."""

    def __init__(self, bad=()):
        self.position = 0
        self.bad = bad
        self.reads = []

    def read(self, num):
        numbers = [np.nan if i in self.bad else float(i) for i in range(self.position, self.position + num)]
        self.position += num
        self.reads.append(num)
        return {"x": np.repeat(np.array(numbers, np.float32)[:, None], 2, axis=1)}

    def get_state(self):
        return {"position": self.position}

    def set_state(self, state):
        self.position = state["position"]


def players():
    """Two players, each following the data with its own noise; the first has a penalty that feels the data first."""

    def init(key, batch):
        del key, batch
        return Variables({"teacher": jnp.zeros(()), "student": jnp.zeros(())}, {})

    def teacher(params, aux, batch, key, hyper):
        del key, hyper
        penalty = jnp.mean(batch["x"]) ** 2
        return 0.5 * params["teacher"] ** 2 + 1e-3 * penalty, ({"weight": jnp.float32(1.0), "penalty": penalty}, aux)

    def student(params, aux, batch, key, hyper):
        del batch, hyper
        noise = jax.random.normal(key)
        return 0.5 * (params["student"] - noise) ** 2 + 0.0 * params["teacher"], ({"noise": noise}, aux)

    return Objective(init, {"teacher": teacher, "student": student}, lambda *_: None)


def build(**schedule):
    sgd = dict.fromkeys(("teacher", "student"), lambda hyper: optax.sgd(hyper["learning_rate"]))
    init, step = make_step(players(), sgd, Schedule(**schedule))
    return jax.jit(init)(jax.random.key(0), {"x": np.zeros(2, np.float32)}, {"learning_rate": 0.1}), step


def steps_of(events):
    return [event.step for event in events]


class TestStops:
    @pytest.mark.parametrize("num", [1, 3, 8, 100])
    def test_events_stand_at_multiples_and_at_the_end_whatever_the_dispatch(self, num):
        state, step = build()
        stream = Stream()
        events = run(
            step, state, stream, total_steps=23, stop_every={"log": 5, "save": 10, "never": 0}, steps_per_dispatch=num
        )
        seen = [(event.step, sorted(event.due), int(event.state.step)) for event in events]
        assert seen == [
            (5, ["log"], 5), (10, ["log", "save"], 10), (15, ["log"], 15), (20, ["log", "save"], 20),
            (23, ["log", "never", "save"], 23),
        ]  # fmt: skip
        assert stream.position == 23 and set(stream.reads) <= {1, num}

    def test_results_do_not_depend_on_the_dispatch(self):
        def train(num):
            state, step = build()
            *_, last = run(step, state, Stream(), total_steps=20, stop_every={}, steps_per_dispatch=num)
            return {"state": jax.tree.map(float, last.state.params), "metrics": last.metrics}

        one, eight = train(1), train(8)
        assert one["metrics"].keys() == eight["metrics"].keys()
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one, eight)

    def test_metrics_are_those_of_the_last_step(self):
        state, step = build()
        events = run(step, state, Stream(), total_steps=12, stop_every={"log": 4}, steps_per_dispatch=4)
        assert [event.metrics["teacher/penalty"] for event in events] == [9.0, 49.0, 121.0]

    def test_the_step_is_traced_once_per_program(self):
        state, step = build()
        traces = []

        def counted(state, batch):
            traces.append(1)
            return step(state, batch)

        list(run(counted, state, Stream(), total_steps=64, stop_every={"log": 9}, steps_per_dispatch=4))
        assert len(traces) == 2

    def test_the_state_is_consumed(self):
        state, step = build()
        events = run(step, state, Stream(), total_steps=4, stop_every={"log": 2}, steps_per_dispatch=1)
        first = next(events)
        assert state.params["teacher"].is_deleted() and not first.state.params["teacher"].is_deleted()
        next(events)
        assert first.state.params["teacher"].is_deleted()

    def test_a_finished_run_has_no_events(self):
        state, step = build()
        done = state._replace(step=jnp.int32(7))
        assert list(run(step, done, Stream(), total_steps=7, stop_every={"log": 1})) == []

    def test_rates_are_of_the_training_alone(self):
        state, step = build()
        events = run(step, state, Stream(), total_steps=60, stop_every={"log": 20}, steps_per_dispatch=4)
        for event in events:
            assert event.steps_per_second > 0
            assert event.examples_per_second == pytest.approx(2 * event.steps_per_second)

    def test_vmapped_members_walk_together_and_one_may_break(self):
        _, step = build()
        init, _ = make_step(players(), dict.fromkeys(("teacher", "student"), lambda h: optax.sgd(h["learning_rate"])))
        batch = {"x": np.zeros(2, np.float32)}
        hypers = {"learning_rate": jnp.array([0.1, 30.0])}
        states = jax.vmap(init, (0, None, 0))(jax.random.split(jax.random.key(0), 2), batch, hypers)
        *_, last = run(
            jax.vmap(step, (0, None)), states, Stream(), total_steps=200, stop_every={}, on_nonfinite="ignore"
        )
        assert last.step == 200
        np.testing.assert_array_equal(np.isfinite(last.metrics["student/loss"]), [True, False])


class TestAutomatic:
    def convolving(self):
        def init(key, batch):
            del batch
            return Variables({"model": jax.random.normal(key, (3, 3, 1, 1))}, {})

        def loss(params, aux, batch, key, hyper):
            del key, hyper
            image = jnp.broadcast_to(batch["x"][:, None, None, None], (2, 4, 4, 1))
            dimensions = ("NHWC", "HWIO", "NHWC")
            out = jax.lax.conv_general_dilated(image, params["model"], (1, 1), "SAME", dimension_numbers=dimensions)
            return jnp.mean(out**2), ({}, aux)

        objective = Objective(init, {"model": loss}, lambda *_: None)
        init, step = make_step(objective, {"model": lambda hyper: optax.sgd(hyper["learning_rate"])})
        return jax.jit(init)(jax.random.key(0), {"x": np.zeros(2, np.float32)}, {"learning_rate": 1e-6}), step

    @pytest.mark.skipif(jax.default_backend() != "cpu", reason="the rule is of the CPU backend")
    def test_convolutions_go_one_by_one_on_a_cpu(self):
        state, step = self.convolving()
        stream = Stream()
        list(run(step, state, stream, total_steps=3, stop_every={}))
        assert stream.reads == [1] * (1 + 3) and stream.position == 3  # One to look at.

    def test_others_go_many_at_a_time(self):
        state, step = build()
        stream = Stream()
        list(run(step, state, stream, total_steps=2 * AUTOMATIC_STEPS, stop_every={}))
        assert stream.reads[-2:] == [AUTOMATIC_STEPS] * 2 and stream.position == 2 * AUTOMATIC_STEPS


class TestNonFinite:
    @pytest.mark.parametrize("num", [1, 4, 100])
    def test_stop_names_the_very_step_and_the_first_term(self, num, tmp_path):
        state, step = build()
        with Checkpoints(tmp_path) as checkpoints:
            events = run(
                step, state, Stream(bad={13, 14}), total_steps=30, stop_every={"save": 10}, steps_per_dispatch=num,
                checkpoints=checkpoints,
            )  # fmt: skip
            with pytest.raises(NonFiniteError) as raised:
                for event in events:
                    checkpoints.save(event.step, event.state, event.position)
            assert (raised.value.term, raised.value.step, raised.value.checkpoint) == ("teacher/penalty", 14, 10)
            assert str(raised.value) == (
                "teacher/penalty is not finite at step 14; the last good checkpoint is of step 10"
            )
            checkpoints.wait()
            assert checkpoints.steps() == [10]

    def test_a_state_that_breaks_under_finite_metrics_is_named(self):
        def step(state, batch):
            del batch
            params = {"model": state.params["model"] * 1e30}
            return state._replace(step=state.step + 1, params=params), {"model/loss": jnp.zeros(())}

        state, _ = build()
        state = state._replace(params={"model": jnp.ones(())}, opt_state={})
        with pytest.raises(
            NonFiniteError, match=r"\.params\['model'\] is not finite at step 2; there is no checkpoint"
        ):
            list(run(step, state, Stream(), total_steps=2, stop_every={}))

    @pytest.mark.parametrize("num", [1, 4])
    def test_skip_goes_on_and_counts(self, num):
        state, step = build(skip_nonfinite=True)
        events = run(
            step, state, Stream(bad={3, 4, 9}), total_steps=12, stop_every={"log": 6}, on_nonfinite="skip", max_skips=3,
            steps_per_dispatch=num,
        )  # fmt: skip
        assert [(event.metrics["skipped_steps"], event.position["bad"]) for event in events] == [(2, 2), (3, 3)]

    @pytest.mark.parametrize("num", [1, 4])
    def test_skip_gives_up_after_many_in_a_row(self, num):
        state, step = build(skip_nonfinite=True)
        events = run(
            step, state, Stream(bad={1, 5, 6, 7, 8}), total_steps=12, stop_every={"log": 6}, on_nonfinite="skip",
            max_skips=3, steps_per_dispatch=num,
        )  # fmt: skip
        assert next(events).metrics["skipped_steps"] == 2
        with pytest.raises(NonFiniteError, match=r"teacher/penalty is not finite at step 8, .* skipped steps in a row"):
            next(events)

    def test_skip_needs_a_step_that_skips(self):
        state, step = build()
        with pytest.raises(ValueError, match="skip_nonfinite=True"):
            list(run(step, state, Stream(), total_steps=2, stop_every={}, on_nonfinite="skip"))

    def rolled(self, tmp_path, bad, *, max_rollbacks=2, position=None, state=None):
        fresh, step = build()
        with Checkpoints(tmp_path) as checkpoints:
            events = run(
                step, state or fresh, Stream(bad), total_steps=20, stop_every={"save": 5}, steps_per_dispatch=2,
                on_nonfinite="rollback", max_rollbacks=max_rollbacks, checkpoints=checkpoints, position=position,
            )  # fmt: skip
            for event in events:
                if event.fault is None:
                    checkpoints.save(event.step, event.state, event.position)
                noise = event.metrics.get("student/noise")
                key = jax.random.key_data(event.state.key).tolist()
                yield event.step, event.fault, event.position, noise, key

    def test_rollback_takes_another_path_while_the_data_goes_on(self, tmp_path):
        seen = list(self.rolled(tmp_path / "a", {11}))
        assert [step for step, *_ in seen] == [5, 10, 10, 15, 20]
        assert [fault for _, fault, *_ in seen] == [None, None, ("teacher/penalty", 12), None, None]
        assert [position["stream"]["position"] for _, _, position, *_ in seen] == [5, 10, 15, 20, 25]
        assert [position["rollbacks"] for _, _, position, *_ in seen] == [0, 0, 1, 1, 1]
        straight = list(self.rolled(tmp_path / "b", ()))
        # Until the fault nothing differs; after it the draws do.
        assert [row[3] for row in seen[:2]] == [row[3] for row in straight[:2]]
        assert seen[3][3] != straight[2][3]
        assert seen == list(self.rolled(tmp_path / "c", {11}))

    def test_rolling_back_twice_to_one_checkpoint_takes_a_third_path(self, tmp_path):
        seen = list(self.rolled(tmp_path, {11, 16}))
        assert [step for step, *_ in seen] == [5, 10, 10, 10, 15, 20]
        keys = [tuple(row[4]) for row in seen]
        assert len({keys[1], keys[2], keys[3]}) == 3 and keys[3] == keys[4] == keys[5]

    def test_rollback_gives_up(self, tmp_path):
        with pytest.raises(NonFiniteError, match=r"at step 12, after max_rollbacks=2 rollbacks; .* of step 10"):
            list(self.rolled(tmp_path, {11, 16, 21}))

    def test_rollback_needs_a_checkpoint(self, tmp_path):
        with pytest.raises(NonFiniteError, match="at step 3 and the run cannot be rolled back; there is no checkpoint"):
            list(self.rolled(tmp_path, {2}))


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"on_nonfinite": "halt"}, r"on_nonfinite must be one of .*'rollback'.*got 'halt'"),
            ({"on_nonfinite": "rollback"}, "needs checkpoints"),
            ({"total_steps": 0}, "total_steps must be at least 1, got 0"),
            ({"stop_every": {"log": -1}}, r"stop_every\['log'\] must be at least 0, got -1"),
            ({"steps_per_dispatch": -1}, "steps_per_dispatch must be at least 0"),
        ],
    )
    def test_bad_arguments_are_named_before_anything_runs(self, options, message):
        state, step = build()
        with pytest.raises(ValueError, match=message):
            run(step, state, Stream(), **{"total_steps": 5, "stop_every": {}, **options})


SCRIPT = Path(__file__).parent / "killed_run.py"


def start(workdir, *options):
    root = SCRIPT.parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(SCRIPT), str(workdir), *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(workdir):
    process = start(workdir)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def send_after(workdir, number, lines, seconds=0.0):
    """Start or go on, and send a signal some time after some lines have been logged."""
    process = start(workdir, "hold")
    for _ in range(lines):
        if not process.stdout.readline():
            break
    time.sleep(seconds)
    process.send_signal(number)
    process.communicate(timeout=120)
    return process.returncode


def outcome(workdir):
    """Give the bytes of the metrics file, and all numbers of the final state by their checksums."""
    content = json.loads((workdir / "checkpoints" / "600" / "content" / "metadata").read_text())["content"]
    return (workdir / "metrics.jsonl").read_bytes(), content["arrays"], content["position"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Begin the run that nobody disturbs beside the tests, and wait for it where it is asked for."""
    workdir = tmp_path_factory.mktemp("uninterrupted")
    process = start(workdir)

    def wait():
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return outcome(workdir)

    return functools.cache(wait)


class TestKilled:
    def test_killed_twice_and_asked_to_go_once_equals_uninterrupted_bit_for_bit(self, tmp_path, uninterrupted):
        assert send_after(tmp_path, signal.SIGKILL, 9) == -signal.SIGKILL
        assert send_after(tmp_path, signal.SIGKILL, 14, 0.02) == -signal.SIGKILL
        # Asked to go, it saves at the next event, which need not be one of its checkpoints.
        assert send_after(tmp_path, signal.SIGTERM, 10) == 128 + signal.SIGTERM
        logged = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])["step"]
        saved = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
        assert saved - 10 < logged <= saved
        finish(tmp_path)
        assert outcome(tmp_path) == uninterrupted()

    def test_the_compared_run_is_whole(self, uninterrupted):
        metrics, arrays, position = uninterrupted()
        assert [json.loads(line)["step"] for line in metrics.splitlines()] == list(range(10, 601, 10))
        assert len(arrays) > 10 and position["stream"] == {"position": 600}

    @pytest.mark.slow
    def test_killed_five_times_at_random_equals_uninterrupted_bit_for_bit(self, tmp_path, uninterrupted):
        rng = random.Random()
        for _ in range(5):
            assert send_after(tmp_path, signal.SIGKILL, rng.randint(1, 12), rng.uniform(0.0, 0.1)) == -signal.SIGKILL
        finish(tmp_path)
        assert outcome(tmp_path) == uninterrupted()


@pytest.fixture
def interruptible():
    """Let an interrupt act as in a terminal: a shell starts background jobs with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class TestPreemption:
    def test_first_signal_is_noted_and_the_second_acts(self, interruptible):
        with Preemption() as preemption:
            assert not preemption.requested and preemption.exit_code == 0
            signal.raise_signal(signal.SIGINT)
            assert preemption.requested and preemption.exit_code == 130
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    def test_handlers_are_put_back(self):
        before = signal.getsignal(signal.SIGTERM)
        with Preemption():
            assert signal.getsignal(signal.SIGTERM) is not before
        assert signal.getsignal(signal.SIGTERM) is before
