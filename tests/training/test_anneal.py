"""Annealed scalars reach their last value along the path that they are given."""

import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from configs import base
from genloss_jax.training.anneal import Path, anneal, from_config


def at(step, path, value=8.0):
    return float(anneal({"x": jnp.float32(value)}, jnp.int32(step), total_steps=100, paths={"x": path})["x"])


@pytest.mark.parametrize(
    ("shape", "halfway"),
    [("linear", 8.0 * 0.5 * (1 + 1 / 16)), ("cosine", 8.0 * 0.5 * (1 + 1 / 16)), ("geometric", 2.0)],
)
def test_paths_begin_at_the_value_and_end_at_factor_times_it(shape, halfway):
    path = Path(shape, 1 / 16)
    assert [at(step, path) for step in (0, 50, 100, 200)] == pytest.approx([8.0, halfway, 0.5, 0.5], rel=1e-5)


def test_cosine_leaves_slowly():
    assert at(10, Path("cosine", 0.0)) > at(10, Path("linear", 0.0))


def test_scalars_without_a_path_are_untouched():
    hyper = {"x": jnp.float32(1.0), "y": jnp.float32(3.0)}
    assert anneal(hyper, jnp.int32(50), total_steps=100, paths={"x": Path("linear", 0.0)})["y"] is hyper["y"]


def test_penalty_weight_anneals_all_penalties_and_nothing_else():
    config = base.get_config()
    config.schedule.anneal.penalty_weight = base.path("geometric", 0.01)
    config.training.total_steps = 10
    schedule, hyper = from_config(config, {"r1_weight": 1.0, "lecam_weight": 2.0, "learning_rate": 3.0})
    now = schedule.hyper({"r1_weight": 1.0, "lecam_weight": 2.0, "learning_rate": 3.0}, jnp.int32(10))
    assert [float(now[name]) for name in ("r1_weight", "lecam_weight", "learning_rate")] == pytest.approx(
        [0.01, 0.02, 3.0]
    )
    assert hyper == {"ema_decay": config.schedule.ema_decay}


def test_schedule_takes_moves_and_averages_from_the_players():
    config = base.get_config()
    config.players = ConfigDict({"critic": base.player(), "model": base.player(averaged=True)})
    config.players.critic.moves = 5
    schedule, _ = from_config(config, {})
    assert schedule.moves == {"critic": 5, "model": 1}
    assert schedule.averaged == ("model",)
    config.schedule.ema_decay = 0.0
    schedule, hyper = from_config(config, {})
    assert (schedule.averaged, hyper) == ((), {})


def test_misspelt_shape_and_impossible_factor_are_named():
    config = base.get_config()
    config.schedule.anneal.top_k.shape = "cosin"
    with pytest.raises(ValueError, match=r"schedule\.anneal\.top_k 'cosin'; did you mean 'cosine'"):
        from_config(config, {})
    config.schedule.anneal.top_k = base.path("geometric", 0.0)
    with pytest.raises(ValueError, match=r"top_k\.factor must be positive"):
        from_config(config, {})
