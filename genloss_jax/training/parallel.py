"""Where a run lies: on one device, or on several, with the same result.

A placement says where the state lies, where batches go, and how the program of several steps is compiled. Loop,
checkpoints and evaluation know no more of it: a state is a pytree of ordinary arrays wherever it lies, and is saved,
restored and sampled from as it is.

- `none`: one device.
- `sharded`: the unchanged program, whose batches are split along the axis "data" of a mesh; XLA partitions it. Any
  objective has the value of one big batch, because the program is still that of the whole batch. `shard_state` splits
  parameters, averages and optimiser state as well.
- `replicated`: `jax.pmap`, in which each device runs the program on its part of the batch, and gradients are averaged.
  Losses that see all examples reach for the others through `objectives.parts`.

Devices may be those of several processes (`training.processes`). Each process then reads its own rows of a batch and
hands them to its own devices.

The axis "member" of the mesh is that of an ablation's members (`over_members`).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from genloss_jax._names import look_up
from genloss_jax._parts import AXIS
from genloss_jax.objectives.objective import Batch
from genloss_jax.training.step import TrainState

MEMBER = "member"
EXAMPLES = "examples"
KINDS = ("auto", "none", "sharded", "pmap")

Program = Callable[[TrainState, Any, Batch], tuple[TrainState, Any, Any]]
"""`(state, watch, batches [steps, batch, ...]) -> (state, watch, metrics)`."""


class Placement(NamedTuple):
    """Where a run lies.

    Attributes:
        num_devices: over how many devices a batch is spread.
        shardings: `state, or its shapes -> a sharding for each array`; None for wherever JAX puts them.
        rows: `examples of a step -> which of them this process reads, in this order`; None for all.
        batches: `batches [steps, rows, ...] -> the same, as the program takes them`.
        compile: `(program, state) -> program`, jitted; it consumes the state, which lies where `shardings` says.
        gather: `state -> the same, whole, on this process`, to be sampled from; all processes must call it.
    """

    num_devices: int
    shardings: Callable[[TrainState], Any] | None
    rows: Callable[[int], np.ndarray | None]
    batches: Callable[[Batch], Batch]
    compile: Callable[[Program, TrainState], Program]
    gather: Callable[[TrainState], TrainState]

    def start(self, init: Callable[..., TrainState]) -> Callable[..., TrainState]:
        """Compile what starts a run, so that no device holds more of the state than it is to keep."""
        if self.shardings is None:
            return jax.jit(init)
        shardings = self.shardings
        return lambda *args: jax.jit(init, out_shardings=shardings(jax.eval_shape(init, *args)))(*args)

    def put(self, state: TrainState) -> TrainState:
        """Bring a state to where it is to lie; arrays that lie there already are not copied."""
        return state if self.shardings is None else jax.device_put(state, self.shardings(state))


def none() -> Placement:
    """Train on one device."""
    return Placement(
        num_devices=1,
        shardings=None,
        rows=lambda size: None,
        batches=lambda batches: batches,
        compile=lambda program, state: jax.jit(program, donate_argnums=0),
        gather=lambda state: state,
    )


def sharded(
    devices: Sequence[jax.Device] | None = None, *, moves: int = 1, shares: int = 1, shard_state: bool = False
) -> Placement:
    """Split batches over devices, and let XLA partition the program.

    Args:
        devices: which; None for all.
        moves: of the busiest player in a step (`Schedule.moves`). Each device holds an equal part of each move's
            examples.
        shares: pieces that each device's examples of a move are to be cut into (`micro_batches` of `make_step`).
        shard_state: split parameters, averages and optimiser state too: each array along its longest axis that the
            devices divide. Where none is, it is replicated.

    Returns:
        The placement.
    """
    mesh = _mesh(devices)
    num = mesh.shape[AXIS]
    share = _Share(list(mesh.devices.flat), moves, shares)
    everywhere, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(None, AXIS))

    def along_longest(leaf):
        axes = [axis for axis, length in enumerate(leaf.shape) if length and length % num == 0]
        if not axes:
            return everywhere
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, AXIS))

    def shardings(state):
        placed = jax.tree.map(lambda leaf: everywhere, state)
        if not shard_state:
            return placed
        large = {name: jax.tree.map(along_longest, getattr(state, name)) for name in ("params", "opt_state", "ema")}
        return placed._replace(**large)

    def batches(given):
        return jax.tree.map(
            lambda leaf: (
                jax.make_array_from_process_local_data(split, np.asarray(share.by_device(leaf)))
                if share.several_processes
                else jax.device_put(share.by_device(leaf), split)
            ),
            given,
        )

    def gather(state):
        if not share.several_processes:
            return state
        if shard_state:
            state = jax.jit(lambda state: state, out_shardings=everywhere)(state)
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), state)

    def compile_program(program, state):
        def partitioned(state, watch, batches):
            # Tells draws where the examples lie (`_parts.draw`).
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                return program(state, watch, batches)

        own = shardings(state)
        return jax.jit(
            partitioned,
            donate_argnums=0,
            in_shardings=(own, everywhere, split),
            out_shardings=(own, everywhere, everywhere),
        )

    return Placement(num, shardings, share.rows, batches, compile_program, gather)


def replicated(devices: Sequence[jax.Device] | None = None, *, moves: int = 1, shares: int = 1) -> Placement:
    """Give each device a replica of the state and a part of the batch, by `jax.pmap`.

    Args:
        devices: which; None for all.
        moves: as in `sharded`.
        shares: as in `sharded`.

    Returns:
        The placement.
    """
    devices = _in_order(devices)
    share = _Share(devices, moves, shares)
    # What a process gives to `jax.pmap` and gets from it lies on its own devices.
    mesh = Mesh(np.array(share.own), (AXIS,))
    everywhere, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(None, AXIS))

    def part(leaf):
        leaf = share.by_device(leaf)
        return jax.device_put(leaf.reshape(leaf.shape[0], len(share.own), -1, *leaf.shape[2:]), split)

    def compile_program(program, state):
        del state
        # Replicas hold the same state, so that it has no axis of its own, neither on its way in nor out.
        return jax.pmap(program, AXIS, in_axes=(None, None, 1), out_axes=None, devices=devices, donate_argnums=0)

    return Placement(
        num_devices=len(devices),
        shardings=lambda state: jax.tree.map(lambda leaf: everywhere, state),
        rows=share.rows,
        batches=lambda batches: jax.tree.map(part, batches),
        compile=compile_program,
        gather=lambda state: state,
    )


def from_config(config: Any) -> Placement:
    """Choose a placement as `config.parallel` says.

    Args:
        config: see `configs/base.py`.

    Raises:
        ValueError: if the kind is unknown, or options do not fit each other.
    """
    own = config.parallel
    look_up("parallel.kind", own.kind, dict.fromkeys(KINDS))
    if own.micro_batches < 1:
        raise ValueError(f"parallel.micro_batches must be at least 1, got {own.micro_batches}")
    kind = own.kind
    if kind == "auto":
        kind = "sharded" if jax.device_count() > 1 else "none"
    if kind == "none" and jax.process_count() > 1:
        raise ValueError(
            f"parallel.kind=none trains on one device, but this is one of {jax.process_count()} processes; "
            "give parallel.kind=auto, or start one process alone with --num_processes=1"
        )
    options = {
        "moves": max(player.moves for player in config.players.values()),
        "shares": own.micro_batches,
    }
    if kind == "pmap":
        if own.shard_state:
            raise ValueError(
                "parallel.shard_state needs parallel.kind=sharded: under pmap each device has a replica of the state"
            )
        return replicated(**options)
    return sharded(shard_state=own.shard_state, **options) if kind == "sharded" else none()


def member_mesh(num_members: int, num_examples: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh | None:
    """Lay out devices for members that are trained together.

    As many devices as can share the members equally have some each. Where there are two devices or more for each
    member, they share its batch as well: data parallel within a member.

    Args:
        num_members: how many.
        num_examples: of a member's batch, in whole numbers of which several devices may have a part.
        devices: which; None for all of this process.

    Returns:
        A mesh with the axes "data" and "member"; None where one device has all.
    """
    devices = jax.local_devices() if devices is None else devices
    each = len(devices) // num_members
    if each > 1:
        members, parts = num_members, _largest_divisor(num_examples, each)
    else:
        members, parts = _largest_divisor(num_members, len(devices)), 1
    if members * parts == 1:
        return None
    # Devices that share a batch are neighbours.
    own = np.array(devices[: members * parts]).reshape(members, parts).T
    return Mesh(own, (AXIS, MEMBER), axis_types=(AxisType.Auto, AxisType.Auto))


def _largest_divisor(number: int, most: int) -> int:
    return max(divisor for divisor in range(1, most + 1) if number % divisor == 0)


def over_members(fn: Callable[..., Any], mesh: Mesh | None, in_axes: Any, out_axes: Any) -> Callable[..., Any]:
    """Let each device compute some of the members of a vmapped function.

    Members do not see each other: devices exchange nothing but what the parts of a member's batch have to.

    Args:
        fn: of arrays with an axis of members.
        mesh: of `member_mesh`; None leaves the function as it is.
        in_axes: for each argument 0 where members lie along the first axis of its arrays, None where all members share
            them, and `EXAMPLES` for batches `[steps, seeds, batch, ...]`, ordered by `by_part`, of which each device is
            given a part; trees are fine, as with `jax.vmap`. Without batches the function does not know of parts.
        out_axes: the same for the results, which are the same for all parts of a batch.

    Returns:
        The function, of the same arrays.
    """
    if mesh is None:
        return fn
    if EXAMPLES not in in_axes:
        # By another name, which means nothing in the library.
        mesh = Mesh(mesh.devices, ("replica", MEMBER), axis_types=mesh.axis_types)
    spec = {None: PartitionSpec(), 0: PartitionSpec(MEMBER), EXAMPLES: PartitionSpec(None, None, AXIS)}

    def specs(axes):
        return jax.tree.map(spec.__getitem__, axes, is_leaf=lambda axis: axis is None)

    return jax.shard_map(fn, mesh=mesh, in_specs=specs(in_axes), out_specs=specs(out_axes), check_vma=False)


def by_part(batches: Batch, mesh: Mesh | None, moves: int) -> Batch:
    """Order batches `[steps, seeds, batch, ...]` such that equal runs of examples are the parts of a member's batch.

    Args:
        batches: of members that share them.
        mesh: of `member_mesh`.
        moves: of the busiest player in a step.
    """
    num = 1 if mesh is None else mesh.shape[AXIS]
    if num == 1:
        return batches
    return jax.tree.map(
        lambda leaf: _by_device(leaf.reshape(-1, *leaf.shape[2:]), num, moves, 1).reshape(leaf.shape), batches
    )


def _mesh(devices: Sequence[jax.Device] | None) -> Mesh:
    # Auto on purpose: Explicit, which `jax.make_mesh` takes, asks every operation for the sharding of its result.
    return Mesh(np.array(_in_order(devices)), (AXIS,), axis_types=(AxisType.Auto,))


def _in_order(devices: Sequence[jax.Device] | None) -> list[jax.Device]:
    # Those of a process side by side. Sums over all devices do not depend on their order, nor does their time.
    devices = jax.devices() if devices is None else devices
    return sorted(devices, key=lambda device: device.process_index)


class _Share:
    """Which examples of a step lie on which device, and which of them this process reads."""

    def __init__(self, devices: list[jax.Device], moves: int, shares: int):
        self.own = [device for device in devices if device.process_index == jax.process_index()]
        self.several_processes = len(self.own) < len(devices)
        self._places = [devices.index(device) for device in self.own]
        self._num, self._moves, self._shares = len(devices), moves, shares

    def rows(self, size: int) -> np.ndarray | None:
        """Name the examples of a step of this size that this process reads."""
        if not self.several_processes:
            return None
        _check_shared(size, self._num, self._moves, self._shares)
        return np.arange(size).reshape(self._moves, self._num, -1)[:, self._places].ravel()

    def by_device(self, leaf: Any) -> Any:
        """Order the examples that this process has read such that equal runs of them go to its devices."""
        return _by_device(leaf, len(self.own), self._moves, self._shares)


def _by_device(leaf: Any, num: int, moves: int, shares: int) -> Any:
    """Order the examples of each step `[steps, batch, ...]` such that equal runs of them go to the devices."""
    _check_shared(leaf.shape[1], num, moves, shares)
    if moves == 1 or num == 1:
        return leaf
    # [steps, moves, devices, ...]: a step takes its moves one after another, each over all devices.
    by_move = leaf.reshape(leaf.shape[0], moves, num, -1, *leaf.shape[2:])
    return by_move.swapaxes(1, 2).reshape(leaf.shape)


def _check_shared(size: int, num: int, moves: int, shares: int) -> None:
    per_move = size // moves
    if size % moves or per_move % (num * shares):
        pieces = f" times {shares} micro-batches (parallel.micro_batches)" if shares > 1 else ""
        raise ValueError(
            f"data.batch_size is {per_move}, which {num} devices{pieces} cannot share equally; "
            f"give a multiple of {num * shares}, or parallel.kind=none"
        )
