"""A small run that may be killed at any moment and started again: `python killed_run.py WORKDIR [hold]`.

With `hold` it waits before its last step is recorded, so that a signal always finds it at work.
"""

import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genloss_jax.objectives import Objective, Variables
from genloss_jax.training import Schedule, make_step
from genloss_jax.training.checkpoints import Checkpoints
from genloss_jax.training.loop import run
from genloss_jax.training.preemption import Preemption
from genloss_jax.training.records import JsonLines

TOTAL_STEPS = 600


class Stream:
    """Batch `i` is drawn from generator `i`; stacked, with a saved position."""

    def __init__(self, size=16):
        self.position = 0
        self.size = size

    def read(self, num):
        batches = [np.random.default_rng(self.position + i).normal(size=(self.size, 4)) for i in range(num)]
        self.position += num
        return {"x": np.stack(batches).astype(np.float32)}

    def get_state(self):
        return {"position": self.position}

    def set_state(self, state):
        self.position = state["position"]


def objective():
    """Two players with random draws, and a running average in aux."""

    def init(key, batch):
        del batch
        params = {"discriminator": 0.1 * jax.random.normal(key, (4,)), "generator": jnp.zeros(4)}
        return Variables(params, {"average": jnp.zeros(4)})

    def sides(params, batch, key):
        fake = params["generator"] + jax.random.normal(key, batch["x"].shape)
        return jnp.tanh(batch["x"] + 1.0) @ params["discriminator"], jnp.tanh(fake) @ params["discriminator"]

    def discriminator(params, aux, batch, key, hyper):
        del hyper
        real, fake = sides(params, batch, key)
        aux = {"average": 0.9 * aux["average"] + 0.1 * params["generator"]}
        return jnp.mean(jax.nn.softplus(-real) + jax.nn.softplus(fake)), ({"logit": jnp.mean(real)}, aux)

    def generator(params, aux, batch, key, hyper):
        del hyper
        _, fake = sides(params, batch, key)
        return jnp.mean(jax.nn.softplus(-fake)), ({}, aux)

    return Objective(init, {"discriminator": discriminator, "generator": generator}, lambda *_: None)


def main(workdir, hold):
    """Begin or go on, to the end or to a signal."""
    optimizers = dict.fromkeys(("discriminator", "generator"), lambda hyper: optax.adam(hyper["learning_rate"]))
    init, step = make_step(objective(), optimizers, Schedule(averaged=("generator",)))
    stream = Stream()
    batch = jax.tree.map(lambda leaf: leaf[0], Stream().read(1))
    hyper = {"learning_rate": 0.01, "ema_decay": 0.99}
    with Checkpoints(workdir / "checkpoints", keep_last=2) as checkpoints, Preemption() as preemption:
        template = jax.eval_shape(init, jax.random.key(0), batch, hyper)
        restored = checkpoints.restore(template)
        state = jax.jit(init)(jax.random.key(0), batch, hyper) if restored is None else restored.state
        writer = JsonLines(workdir / "metrics.jsonl", 0 if restored is None else restored.step)
        events = run(
            step, state, stream,
            total_steps=TOTAL_STEPS, stop_every={"log": 10, "checkpoint": 35}, steps_per_dispatch=4,
            position=None if restored is None else restored.position,
        )  # fmt: skip
        for event in events:
            while hold and event.step == TOTAL_STEPS and not preemption.requested:
                time.sleep(0.01)
            if "log" in event.due:
                writer.scalars(event.step, event.metrics)
                print(event.step, flush=True)
            if "checkpoint" in event.due or preemption.requested:
                checkpoints.save(event.step, event.state, event.position)
            if preemption.requested:
                break
        writer.close()
    return preemption.exit_code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:] == ["hold"]))
