"""A study of small members on all devices, into a directory: `python tests/ablation/spread_study.py WORKDIR [few]`.

Of 64 members, or of few, for each of which there are several devices. Prints one line of JSON: how many devices there
are, and what they exchange in a step.
"""

import json
import sys

import jax

from configs.ablations import base
from experiments import ablate, collectives
from genloss_jax.ablation import engine, study

AXES = {
    "loss": ("relativistic_paired_hinge", "relativistic_average"),
    "learning_rate": (1e-3, 3e-4, 1e-4, 3e-5),
    "seed": tuple(range(8)),
}


FEW = {"loss": ("relativistic_average",), "seed": (0, 1)}


def settings(axes=AXES):
    """Describe the study."""
    own = base.get_config()
    own.name, own.variant, own.axes = "spread", "smoke", axes
    own.overrides = {"training": {"total_steps": 6, "evaluate_every_steps": 6, "checkpoint_every_steps": 3}}
    own.num_kept_samples = 4
    return own.lock()


def few():
    """Describe a study of two members: batches of two moves, and losses and layers that see all examples."""
    own = settings(FEW).unlock()
    own.overrides.players = {"discriminator": {"moves": 2}}
    own.overrides.networks = {"normalization": "batch"}
    own.overrides.optimizer = {"name": "sgd"}
    return own.lock()


def main(workdir, which="all"):
    """Run it, and read its program."""
    described, size = (few(), 2) if which == "few" else (settings(), 64)
    prepared = study.prepare(described, ablate.loader("smoke"))
    for _ in study.run(prepared, workdir, chunk=size):
        pass
    (group,) = prepared.groups
    parts = engine.cut(group, size, jax.device_count())
    program = engine.Program(group, parts.mixed, engine.mesh_for(group, parts.size))
    states, watch = program.start(parts.chunks[0])
    streams = engine.Streams(group, parts.chunks[0])
    text = program._steps.lower(states, watch, streams.read(2), streams.which).compile().as_text()
    shares = {leaf.sharding.shard_shape(leaf.shape)[0] for leaf in jax.tree.leaves(states.params)}
    found = collectives.exchanged(text)
    print(json.dumps({"devices": jax.device_count(), "exchanged": found, "members": sorted(shares)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
