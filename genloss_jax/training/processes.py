"""Several processes that train one run: one on each host of a TPU slice, or on each GPU of a cluster.

All run the same program and reach the same events. What the outside world sees of a run, its records and pictures, is
written by the first of them alone. What only one of them can know (a signal came, a file is damaged) is agreed upon
before anyone acts on it, for a process that goes another way leaves the others waiting.
"""

import warnings
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


def join(*, coordinator: str = "", num: int = 0, index: int = -1, timeout_seconds: int = 100) -> int:
    """Meet the other processes of this run; before anything else is asked of JAX.

    Args:
        coordinator: `host:port` of the first process; "" where the environment tells (Cloud TPU, SLURM, Open MPI,
            Kubernetes with the package `kubernetes`).
        num: how many processes there are; 0 for as many as the environment says, and one where it says nothing.
        index: which of them this is, from 0; -1 where the environment tells.
        timeout_seconds: where one has not been heard of for so long, all others end (JAX aborts them, and says which).

    Returns:
        How many there are.

    Raises:
        ValueError: if some of the arguments are missing that the environment does not tell either.
        RuntimeError: if the others cannot be reached.
    """
    if num == 1:
        return 1
    told = bool(coordinator or num or index >= 0)
    # The service would take SIGTERM for itself. `largest` agrees on what was asked of any.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        with warnings.catch_warnings():
            # On Kubernetes JAX asks for a package, whether or not there is anyone to meet.
            warnings.filterwarnings("ignore", message="(?s).*Kubernetes environment detected")
            jax.distributed.initialize(
                coordinator or None,
                num or None,
                None if index < 0 else index,
                heartbeat_timeout_seconds=timeout_seconds,
                shutdown_timeout_seconds=timeout_seconds,
            )
    except ValueError as error:
        if not told:
            # JAX found no cluster.
            return 1
        raise ValueError(
            f"of several processes each needs --coordinator, --num_processes and --process_id, and got "
            f"{coordinator!r}, {num} and {index}, where the environment says nothing ({error})"
        ) from None
    except Exception as error:  # Whatever the interfaces of clusters make of it.
        reason = str(error).partition("\n")[0]
        raise RuntimeError(
            f"the other processes of this run cannot be met ({type(error).__name__}: {reason}); "
            "to train in this one alone, give --num_processes=1"
        ) from error
    # The first exchange makes the connections, for which the others must come within half a minute. Now all are here;
    # later exchanges wait as long as it takes.
    wait("the beginning")
    return jax.process_count()


def is_first() -> bool:
    """Tell whether this process is the one that writes records."""
    return jax.process_index() == 0


def largest(number: int) -> int:
    """Give the largest of what the processes have; all must ask."""
    if jax.process_count() == 1:
        return number
    return int(np.max(multihost_utils.process_allgather(np.asarray(number, np.int32))))


def wait(name: str) -> None:
    """Wait until all processes have come here, as long as it takes.

    Args:
        name: of the place; all must give the same.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def totals(values: Any) -> Any:
    """Add up arrays of uint32 over the processes, modulo 2^32; all must ask."""
    if jax.process_count() == 1:
        return values
    gathered = multihost_utils.process_allgather(values)
    return jax.tree.map(lambda leaf: np.sum(leaf, axis=0, dtype=np.uint32), gathered)
