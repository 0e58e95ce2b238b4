"""Checkpoints under damage: every file of one is harmed, and what comes back is either right or an error."""

import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genloss_jax.training import TrainState
from genloss_jax.training.checkpoints import CheckpointError, Checkpoints, _checksum


def fresh(seed=0, width=64):
    """Give a state with everything in it that a run may carry: keys, optax tuples, counts, empty trees, bfloat16."""
    params = {
        "model": {"kernel": jax.random.normal(jax.random.key(seed), (width, 8)), "bias": jnp.zeros(8, jnp.bfloat16)}
    }
    opt_state = {"model": optax.chain(optax.clip(1.0), optax.adam(1e-3)).init(params["model"])}
    aux = {
        "buffer": jnp.arange(width, dtype=jnp.uint8),
        "best": jnp.float32(np.inf),
        "nothing": {},
        "key": jax.random.key(9),
    }
    hyper = {"learning_rate": jnp.float32(0.1 + seed)}
    ema = {"model": jax.tree.map(jnp.copy, params["model"])}
    return TrainState(jnp.int32(seed), params, opt_state, aux, hyper, jax.random.key(seed), ema)


TEMPLATE = jax.eval_shape(fresh)


def bits(state):
    def raw(leaf):
        return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)

    return [(raw(leaf).dtype, raw(leaf).shape, raw(leaf).tobytes()) for leaf in jax.tree.leaves(state)]


def save_three(directory, **options):
    with Checkpoints(directory, keep_last=3, **options) as checkpoints:
        for step in (10, 20, 30):
            checkpoints.save(step, fresh(step), {"stream": {"position": step}}, {"distance": 1.0 / step})


def restore(directory, template=TEMPLATE):
    with Checkpoints(directory, keep_last=3) as checkpoints:
        return checkpoints.restore(template)


class TestRoundTrip:
    @pytest.mark.parametrize("template", [TEMPLATE, fresh(5)], ids=["abstract", "arrays"])
    def test_all_bits_structure_position_and_metrics_come_back(self, tmp_path, template):
        save_three(tmp_path)
        restored = restore(tmp_path, template)
        assert bits(restored.state) == bits(fresh(30))
        assert jax.tree.structure(restored.state) == jax.tree.structure(fresh(30))
        assert (restored.step, restored.position) == (30, {"stream": {"position": 30}})
        assert restored.metrics == {"distance": 1.0 / 30}

    def test_nothing_saved_gives_none(self, tmp_path):
        assert restore(tmp_path) is None

    def test_state_is_copied_before_save_returns(self, tmp_path):
        overwrite = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf * 0 + 7, tree), donate_argnums=0)
        with Checkpoints(tmp_path) as checkpoints:
            state = fresh(3)
            expected = bits(state)
            checkpoints.save(3, state)
            jax.block_until_ready(overwrite(state.params))
            assert bits(checkpoints.restore(TEMPLATE).state) == expected

    def test_nothing_is_pickled(self, tmp_path):
        save_three(tmp_path)
        for path in tmp_path.rglob("*"):
            # Protocol 2 and later: the opcode PROTO at the start, STOP at the end.
            assert path.is_dir() or not (path.read_bytes()[:1] == b"\x80" and path.read_bytes()[-1:] == b".")


class TestRetention:
    def test_keeps_the_newest_and_the_best(self, tmp_path):
        options = {"keep_last": 2, "keep_best": 1, "metric": "distance"}
        with Checkpoints(tmp_path, **options) as checkpoints:
            for step, distance in ((1, 3.0), (2, 1.0), (3, None), (4, 5.0), (5, float("nan")), (6, 7.0)):
                checkpoints.save(step, fresh(step), metrics=distance and {"distance": distance})
            checkpoints.wait()
            assert (checkpoints.steps(), checkpoints.best_step()) == ([2, 5, 6], 2)
        # Another process knows the best as well.
        with Checkpoints(tmp_path, **options) as checkpoints:
            assert checkpoints.best_step() == 2
            best = checkpoints.restore_best(TEMPLATE)
            assert bits(best.state) == bits(fresh(2)) and best.metrics == {"distance": 1.0}
            checkpoints.save(7, fresh(7), metrics={"distance": 0.5})
            checkpoints.wait()
            assert (checkpoints.steps(), checkpoints.best_step()) == ([6, 7], 7)

    def test_best_may_be_the_greatest(self, tmp_path):
        with Checkpoints(tmp_path, keep_last=1, metric="modes", best="max") as checkpoints:
            for step, modes in ((1, 3.0), (2, 8.0), (3, 7.0)):
                checkpoints.save(step, fresh(step), metrics={"modes": modes})
            checkpoints.wait()
            assert checkpoints.steps() == [2, 3]

    def test_no_warning_between_evaluations(self, tmp_path, caplog):
        with Checkpoints(tmp_path, metric="distance") as checkpoints:
            checkpoints.save(1, fresh(1))
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    def test_no_best_without_evaluations(self, tmp_path):
        with Checkpoints(tmp_path, metric="distance") as checkpoints:
            checkpoints.save(1, fresh(1))
            assert checkpoints.best_step() is None and checkpoints.restore_best(TEMPLATE) is None

    def test_saving_an_earlier_step_discards_the_later_ones(self, tmp_path):
        save_three(tmp_path)
        with Checkpoints(tmp_path, keep_last=3) as checkpoints:
            checkpoints.save(20, fresh(99))
            checkpoints.wait()
            assert checkpoints.steps() == [10, 20]
            assert bits(checkpoints.restore(TEMPLATE).state) == bits(fresh(99))


def large_files(directory, step):
    return sorted((directory / str(step)).rglob("*"), key=lambda path: -path.stat().st_size if path.is_file() else 0)


class TestDamage:
    def test_truncated_newest_gives_the_one_before_and_a_message_naming_both(self, tmp_path, caplog):
        save_three(tmp_path)
        largest = large_files(tmp_path, 30)[0]
        largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
        with caplog.at_level(logging.WARNING):
            restored = restore(tmp_path)
        assert restored.step == 20 and bits(restored.state) == bits(fresh(20))
        assert "checkpoint of step 30" in caplog.text and "going on from step 20" in caplog.text

    def test_empty_newest_directory_gives_the_one_before(self, tmp_path, caplog):
        save_three(tmp_path)
        shutil.rmtree(tmp_path / "30")
        (tmp_path / "30").mkdir()
        with caplog.at_level(logging.WARNING):
            restored = restore(tmp_path)
        assert restored.step == 20 and bits(restored.state) == bits(fresh(20))
        assert "checkpoint of step 30" in caplog.text

    def test_a_flipped_bit_anywhere_never_gives_wrong_values(self, tmp_path):
        original = tmp_path / "original"
        save_three(original)
        rng = np.random.default_rng(0)
        fallen_back = 0
        for trial, path in enumerate(path for path in large_files(original, 30) if path.is_file()):
            directory = tmp_path / f"trial{trial}"
            shutil.copytree(original, directory)
            target = directory / path.relative_to(original)
            data = bytearray(target.read_bytes())
            if not data:
                continue
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            target.write_bytes(bytes(data))
            restored = restore(directory)
            assert bits(restored.state) == bits(fresh(restored.step))
            assert restored.position == {"stream": {"position": restored.step}}
            fallen_back += restored.step == 20
        assert fallen_back >= 2

    def test_sound_arrays_that_are_not_those_saved_are_seen(self, tmp_path, caplog):
        # The array store has nothing to notice here: only our checksums tell.
        save_three(tmp_path)
        shutil.rmtree(tmp_path / "30" / "state")
        shutil.copytree(tmp_path / "10" / "state", tmp_path / "30" / "state")
        with caplog.at_level(logging.WARNING):
            assert restore(tmp_path).step == 20
        assert "does not match its checksum" in caplog.text

    def test_a_changed_position_is_seen(self, tmp_path, caplog):
        save_three(tmp_path)
        path = tmp_path / "30" / "content" / "metadata"
        path.write_text(path.read_text().replace('"position": 30', '"position": 31'))
        assert json.loads(path.read_text())["content"]["position"] == {"stream": {"position": 31}}
        with caplog.at_level(logging.WARNING):
            assert restore(tmp_path).step == 20
        assert "content does not match its checksum" in caplog.text

    def test_all_broken_is_an_error_and_never_a_fresh_start(self, tmp_path):
        save_three(tmp_path)
        for step in (10, 20, 30):
            shutil.rmtree(tmp_path / str(step) / "state")
        with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole \(step 30: .*step 20: .*step 10: "):
            restore(tmp_path)

    def test_only_an_empty_directory_is_an_error(self, tmp_path):
        (tmp_path / "30").mkdir()
        with pytest.raises(CheckpointError, match="step 30"):
            restore(tmp_path)

    def test_a_damaged_newest_can_be_written_again(self, tmp_path):
        save_three(tmp_path)
        shutil.rmtree(tmp_path / "30" / "state")
        with Checkpoints(tmp_path, keep_last=3) as checkpoints:
            assert checkpoints.restore(TEMPLATE).step == 20
            checkpoints.save(30, fresh(30))
            assert checkpoints.restore(TEMPLATE).step == 30


class TestChecksums:
    """One number for an array, however it is split; exact integer arithmetic, so that parts add up without rounding."""

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8", "bool", "float64", "int64"])
    def test_every_flipped_bit_changes_it(self, dtype):
        array = np.asarray(jnp.asarray(np.random.default_rng(0).integers(0, 2, (2, 3))).astype("bfloat16"))
        array = array.astype(np.dtype(dtype) if dtype != "bfloat16" else array.dtype)
        before = _checksum(array, array.shape)
        raw = array.view(np.uint8).reshape(-1)
        for place in range(8 * raw.size):
            raw[place // 8] ^= np.uint8(1 << place % 8)
            assert _checksum(array, array.shape) != before
            raw[place // 8] ^= np.uint8(1 << place % 8)
        assert _checksum(array, array.shape) == before

    @pytest.mark.parametrize("shape", [(), (7,), (6, 4), (2, 3, 4), (0, 3)])
    def test_it_is_the_sum_over_words_times_odd_numbers_of_their_places(self, shape):
        array = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        words = [int(word) for word in np.atleast_1d(array).view(np.uint32).ravel()]
        expected = sum(word * (2654435761 * place % 2**32 | 1) for place, word in enumerate(words)) % 2**32
        assert int(_checksum(array, shape)) == expected

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
    def test_those_of_parts_add_up_to_that_of_the_whole(self, dtype):
        array = np.random.default_rng(2).integers(0, 99, (6, 4, 5)).astype(dtype)
        parts = [
            (slice(first, first + 3), slice(second, second + 2), slice(None)) for first in (0, 3) for second in (0, 2)
        ]
        found = np.sum([_checksum(array[part], array.shape, part) for part in parts], dtype=np.uint32)
        assert found == _checksum(array, array.shape)

    def test_examples_that_change_places_are_seen(self):
        array = np.arange(12.0, dtype=np.float32).reshape(4, 3)
        assert _checksum(array, array.shape) != _checksum(array[::-1], array.shape)


class TestAlone:
    def test_what_one_process_saved_alone_another_restores(self, tmp_path, monkeypatch):
        save_three(tmp_path, alone=True)
        monkeypatch.setattr(jax, "process_index", lambda: 1)
        monkeypatch.setattr(jax, "process_count", lambda: 2)
        with Checkpoints(tmp_path, keep_last=3, alone=True) as checkpoints:
            restored = checkpoints.restore(TEMPLATE)
            assert (bits(restored.state), restored.position) == (bits(fresh(30)), {"stream": {"position": 30}})
            # It saves as well, which is what Orbax leaves to the first process.
            checkpoints.save(40, fresh(40))
            assert bits(checkpoints.restore(TEMPLATE).state) == bits(fresh(40))
            assert checkpoints.steps() == [20, 30, 40]

    def test_a_flipped_bit_is_passed_over(self, tmp_path, caplog):
        save_three(tmp_path, alone=True)
        largest = large_files(tmp_path, 30)[0]
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 1
        largest.write_bytes(content)
        with Checkpoints(tmp_path, keep_last=3, alone=True) as checkpoints:
            assert checkpoints.restore(TEMPLATE).step == 20
        assert "the checkpoint of step 30" in caplog.text

    def test_what_all_have_saved_together_is_of_another_kind(self, tmp_path):
        save_three(tmp_path)
        with (
            Checkpoints(tmp_path, alone=True) as checkpoints,
            pytest.raises(CheckpointError, match="written by another version of genloss_jax, or by processes together"),
        ):
            checkpoints.restore(TEMPLATE)

    def test_several_threads_save_at_once(self, tmp_path):
        def save(name):
            with Checkpoints(tmp_path / name, keep_last=1, alone=True) as checkpoints:
                for step in range(1, 6):
                    checkpoints.save(step, fresh(step))
                return checkpoints.steps() == [5] and bits(checkpoints.restore(TEMPLATE).state) == bits(fresh(5))

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(save, "abcdefgh"))


class TestErrors:
    def test_a_checkpoint_of_another_version_is_said_to_be_one(self, tmp_path, monkeypatch):
        monkeypatch.setattr("genloss_jax.training.checkpoints._FORMAT", 1)
        save_three(tmp_path)
        monkeypatch.undo()
        with pytest.raises(CheckpointError, match=r"step 30 in .* was written by another version of genloss_jax"):
            restore(tmp_path)

    def test_another_width_is_one_sentence(self, tmp_path):
        save_three(tmp_path)
        with pytest.raises(CheckpointError, match=r"kernel'\] is float32\[64, 8\] there, float32\[32, 8\] here"):
            restore(tmp_path, jax.eval_shape(lambda: fresh(width=32)))

    @pytest.mark.parametrize(
        ("more", "message"), [(True, r"it has no \.ema\['critic'\]"), (False, r"only it has \.ema\['model'\]")]
    )
    def test_other_trees_are_one_sentence(self, tmp_path, more, message):
        save_three(tmp_path)
        ema = {**TEMPLATE.ema, "critic": TEMPLATE.step} if more else {}
        with pytest.raises(CheckpointError, match=message):
            restore(tmp_path, TEMPLATE._replace(ema=ema))

    def test_nonfinite_states_are_not_saved(self, tmp_path):
        state = fresh(1)
        broken = state._replace(ema={"model": {**state.ema["model"], "kernel": jnp.full((64, 8), jnp.inf)}})
        with Checkpoints(tmp_path) as checkpoints:
            with pytest.raises(
                ValueError, match=r"state of step 1 must be finite.*\.ema\['model'\]\['kernel'\] is not"
            ):
                checkpoints.save(1, broken)
            assert checkpoints.steps() == []

    def test_ranking_metric_must_be_there(self, tmp_path):
        with (
            Checkpoints(tmp_path, metric="frechet") as checkpoints,
            pytest.raises(ValueError, match=r"'frechet'.*'mmd'"),
        ):
            checkpoints.save(1, fresh(1), metrics={"mmd": 1.0})

    @pytest.mark.parametrize("options", [{"keep_last": 0}, {"keep_best": 0}, {"best": "lowest"}])
    def test_options_out_of_range_are_named(self, tmp_path, options):
        with pytest.raises(ValueError, match=next(iter(options))):
            Checkpoints(tmp_path, **options)
