"""Arrays that one process has for itself, as Orbax keeps them.

Orbax's own writers take it that all processes save together: host arrays are written by the first process alone,
whoever asks, and arrays on the devices of one process are refused.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

_FILE = "arrays.npz"


class Arrays(ocp.CheckpointHandler):
    """Writes a tree of host arrays to one file, and reads it back."""

    def save(self, directory: epath.Path, args: "Save") -> None:
        """Write the bits, which are all that NumPy knows of types such as bfloat16."""
        leaves = [np.ascontiguousarray(leaf).reshape(-1).view(np.uint8) for leaf in jax.tree.leaves(args.item)]
        with (directory / _FILE).open("wb") as file:
            np.savez(file, *leaves)

    def restore(self, directory: epath.Path, args: "Restore") -> Any:
        """Read arrays of the form of those that are given."""
        like, tree = jax.tree.flatten(args.item)
        with (directory / _FILE).open("rb") as file, np.load(file) as found:
            leaves = [found[name].view(leaf.dtype).reshape(leaf.shape) for name, leaf in zip(found, like, strict=True)]
        return jax.tree.unflatten(tree, leaves)


@ocp.args.register_with_handler(Arrays, for_save=True)
@dataclasses.dataclass
class Save(ocp.args.CheckpointArgs):
    """A tree of host arrays."""

    item: Any


@ocp.args.register_with_handler(Arrays, for_restore=True)
@dataclasses.dataclass
class Restore(ocp.args.CheckpointArgs):
    """A tree of arrays of the same form."""

    item: Any


def apart() -> tuple[dict[str, Any], Any]:
    """Tell Orbax that this process keeps to itself: options of a manager, and who reads and writes what."""
    index = jax.process_index()
    own = ocp.options.MultiprocessingOptions(primary_host=index, active_processes={index})
    # Orbax creates no directory for some of the processes. Threads that write behind would take the signals of other
    # processes for their own: Orbax numbers both alike.
    options = {"multiprocessing_options": own, "create": False, "enable_async_checkpointing": False}
    return options, ocp.handlers.create_default_handler_registry(
        state=Arrays(), content=ocp.JsonCheckpointHandler(multiprocessing_options=own)
    )
