"""Runs on one device, and the same runs spread over several.

As a program, `JAX_NUM_CPU_DEVICES=8 python tests/training/spread_runs.py gan vae ...`, it takes ten steps of each case
in each kind, and prints one line of JSON for each: by how much parameters, aux and metrics differ from one device's.
`collectives` among the cases prints what the devices exchange in a step; `kinds=sharded,pmap` leaves the others out;
`process=1/2@localhost:1234` makes it one of two processes, of which the first prints.
"""

import importlib
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import collectives, estimate
from genloss_jax import training
from genloss_jax.losses import contrastive
from genloss_jax.objectives import Objective, Variables, mean, parts
from genloss_jax.training import make_step, parallel, processes

STEPS, BATCH = 10, 16
KINDS = ("sharded", "sharded_state", "pmap")

# name -> (config, its fields that differ). Plain gradient steps, because Adam scales rounding noise to whole steps.
CASES = {
    "gan": (
        "gan_ring",
        {"loss": "relativistic_average", "networks.normalization": "batch", "networks.minibatch_stddev": True},
    ),
    "moves": ("gan_ring", {"loss": "hinge", "players.discriminator.moves": 2}),
    "dcgan": ("gan_digits", {}),
    "games": (
        "sngan_digits",
        {
            "loss": "dual_contrastive",
            "penalty.name": "wgan_gp+dragan+lecam+max_gradient",
            "penalty.weight": 0.1,
            "generator_penalty.name": "path_length+mode_seeking+pulling_away",
            "generator_penalty.weight": 0.1,
            "inputs.augment": "color+translation+cutout",
            "inputs.augment_target": 0.6,
            "inputs.augment_images": 1000,
            "inputs.instance_noise": 0.1,
            "top_k": 0.75,
            "players.discriminator.moves": 2,
        },
    ),
    "plane": ("gan_ring", {"loss": "relativistic_all_pairs|kl_wasserstein|softmax"}),
    "vae": ("vae", {"data.name": "eight_gaussians", "latent.dim": 2, "networks.normalization": "batch"}),
    "iwae": ("iwae", {}),
    "hvae": ("hvae", {"vae.num_samples": 3}),
    "vq_vae": ("vq_vae", {}),
    "wae_mmd": ("wae_mmd", {}),
    "vae_gan": ("vae_gan", {}),
    "ali": ("ali", {}),
    "soft_intro_vae": ("soft_intro_vae", {}),
    "glow": ("glow", {}),
    "image_gpt": ("image_gpt", {"autoregressive.dropout": 0.2}),
    "ddpm": ("ddpm", {}),
    "flow_matching": ("ot_flow_matching", {}),
    "mean_flow": ("mean_flow", {}),
    "rectified_flow": ("rectified_flow", {}),
    "ebm_pcd": ("ebm_pcd", {}),
    "ebm_nce": ("ebm_nce", {}),
    "jem": ("jem", {}),
}


def config_of(name, **fields):
    """Give the config of a case."""
    base, own = CASES[name]
    config = importlib.import_module(f"configs.{base}").get_config("smoke").copy_and_resolve_references()
    config.data.batch_size = BATCH
    config.optimizer.name, config.optimizer.learning_rate, config.optimizer.clip_gradient_norm = "sgd", 0.01, 1.0
    config.update_from_flattened_dict({**own, **fields})
    return config.lock()


def clip(micro_batches=1):
    """Two linear towers, trained by CLIP's loss: all pairs of a batch are compared."""

    def init(key, batch):
        keys = jax.random.split(key)
        shape = (batch["x"].shape[1] // 2, 4)
        towers = {name: jax.random.normal(own, shape) for name, own in zip(("image", "text"), keys, strict=True)}
        return Variables({"model": {**towers, "log_scale": jnp.zeros(())}}, {})

    def loss(params, aux, batch, key, hyper):
        del hyper
        own = params["model"]
        x = batch["x"] + 0.1 * parts.draw(jax.random.normal, key, batch["x"].shape)
        image, text = jnp.split(x, 2, axis=1)
        values = contrastive.clip_loss(
            image @ own["image"], text @ own["text"], log_scale=own["log_scale"], axis_name=parts.axis_name("CLIP")
        )
        return mean(values), ({}, aux)

    objective = Objective(init, {"model": loss}, lambda *_: None)
    sgd = {"model": lambda hyper: optax.sgd(hyper["learning_rate"])}
    return make_step(objective, sgd, micro_batches=micro_batches)


class Stream:
    """Normal numbers, batch after batch: all of them, or this process's rows."""

    def __init__(self, rows=None):
        self.position = 0
        self.rows = slice(None) if rows is None else rows

    def read(self, num):
        """Give the next batches."""
        rng = np.random.default_rng(self.position)
        self.position += num
        return {"x": rng.normal(size=(num, BATCH, 6)).astype(np.float32)[:, self.rows]}

    def get_state(self):
        """Give the position."""
        return {"position": self.position}

    def set_state(self, state):
        """Go to a position."""
        self.position = state["position"]


def run(step, state, stream, placement):
    """Take the steps; give what is to be compared."""
    (event,) = training.run(
        step, state, stream, total_steps=STEPS, stop_every={}, steps_per_dispatch=5, placement=placement
    )
    state = placement.gather(event.state)
    numbers = {"params": state.params, "aux": state.aux, "ema": state.ema, "metrics": event.metrics}
    return jax.device_get(numbers)


def runs(name, placement):
    """Train a case from its beginning."""
    if name == "clip":
        init, step = clip()
        example = jax.tree.map(lambda leaf: leaf[0], Stream().read(1))
        state = placement.start(init)(jax.random.key(0), example, {"learning_rate": 0.1})
        return run(step, state, Stream(placement.rows(BATCH)), placement)
    setup = training.from_config(config_of(name))._replace(placement=placement)
    return run(setup.step, setup.state(0), setup.stream(0), placement)


def placements(moves):
    """Give each kind on all devices."""
    return {
        "sharded": parallel.sharded(moves=moves),
        "sharded_state": parallel.sharded(moves=moves, shard_state=True),
        "pmap": parallel.replicated(moves=moves),
    }


def moves_of(name):
    """Count the moves of the busiest player of a case."""
    return 1 if name == "clip" else max(player.moves for player in config_of(name).players.values())


def worst(first, second):
    """Give the largest difference of two trees, relative to numbers above 1, and where it is."""
    found = {}
    pairs = zip(jax.tree_util.tree_leaves_with_path(first), jax.tree.leaves(second), strict=True)
    for (path, a), b in pairs:
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        found[jax.tree_util.keystr(path)] = float(np.max(np.abs(a - b) / np.maximum(np.abs(a), 1.0), initial=0.0))
    where = max(found, key=found.__getitem__)
    return found[where], where


def compare(names, kinds):
    """Print how far each kind is from one device."""
    for name in names:
        alone = runs(name, parallel.none())
        own = placements(moves_of(name))
        for kind in kinds:
            difference, where = worst(alone, runs(name, own[kind]))
            if processes.is_first():
                row = {"case": name, "kind": kind, "difference": difference, "where": where}
                print(json.dumps(row), flush=True)


def exchanges(cases):
    """Print what the devices exchange in one step of each case and kind, and how large the players are."""
    for case, fields in cases:
        setup = training.from_config(config_of(case, **fields))
        state, _ = estimate.shapes(setup, setup.batch_size)
        sizes = {player: estimate.num_bytes(own) for player, own in state.params.items()}
        kinds = placements(moves_of(case))
        for kind in ("sharded", "pmap"):
            found = collectives.exchanged(collectives.compiled(setup, kinds[kind]))
            row = {"loss": fields["loss"], "kind": kind, "players": sizes, "exchanged": found}
            print(json.dumps(row), flush=True)


EXCHANGING = [
    ("plane", {"loss": "non_saturating"}),
    ("plane", {"loss": "relativistic_average"}),
    ("plane", {"loss": "dual_contrastive"}),
]


def main(arguments):
    """Do what the arguments say."""
    options = dict(argument.split("=") for argument in arguments if "=" in argument)
    names = [argument for argument in arguments if "=" not in argument]
    if "process" in options:
        own, coordinator = options["process"].split("@")
        index, num = map(int, own.split("/"))
        processes.join(coordinator=coordinator, num=num, index=index, timeout_seconds=20)
    kinds = options["kinds"].split(",") if "kinds" in options else KINDS
    assert jax.device_count() > 1
    if "collectives" in names:
        exchanges(EXCHANGING)
    compare([name for name in names if name != "collectives"], kinds)


if __name__ == "__main__":
    main(sys.argv[1:])
