"""A small study of two groups, each of four chunks of up to two members, for several processes."""

from configs.ablations import base


def get_config():
    own = base.get_config()
    own.name, own.variant = "shared", "smoke"
    own.axes = {"width": (8, 16), "loss": ("hinge", "minimax"), "seed": (0, 1, 2)}
    own.overrides = {
        "training": {
            "total_steps": 400,
            "evaluate_every_steps": 200,
            "checkpoint_every_steps": 10,
            "steps_per_dispatch": 10,
        }
    }
    own.num_kept_samples = 4
    return own.lock()
