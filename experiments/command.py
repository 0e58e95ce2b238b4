"""What all entry points share: how they start, and how they say that something is wrong."""

import ast
import logging as std_logging
import sys
from collections.abc import Callable
from pathlib import Path

import jax
from absl import app, flags, logging

from genloss_jax import training
from genloss_jax._names import hint
from genloss_jax.training import processes

QUOTES = "'\""

# What a user can cause and mend. Anything else is a defect of ours, and its traceback is shown.
USER_ERRORS = (ValueError, OSError, training.CheckpointError, training.NonFiniteError)


def start(
    main: Callable[[flags.FlagValues], object],
    define_flags: Callable[[], None] = lambda: None,
    *,
    several_processes: bool = False,
) -> None:
    """Parse the flags and call `main` with them; a user's error ends in one sentence and a non-zero exit code.

    Flags are defined here and not on import, so that entry points can be imported side by side.

    Args:
        main: does the work.
        define_flags: its own flags.
        several_processes: whether to meet the other processes where there are any, as the environment or flags say.
    """
    define_flags()
    if several_processes:
        _define_processes()
    flags.DEFINE_bool("traceback", False, "On an error, show where in the code it was raised.")
    flags.DEFINE_string(
        "compilation_cache", "", "Where compiled programs are kept, so that the next start is quick; empty for nowhere."
    )

    def run(_):
        if flags.FLAGS.compilation_cache:
            jax.config.update("jax_compilation_cache_dir", str(Path(flags.FLAGS.compilation_cache).resolve()))
        if several_processes:
            _report(_join, code=2, errors=(*USER_ERRORS, RuntimeError))
        _report(lambda: main(flags.FLAGS), code=1)

    app.run(run, flags_parser=_parse)


def workdir(values: flags.FlagValues) -> str:
    """Give the flag that most entry points need, or say that it is missing."""
    if not values.workdir:
        raise ValueError("--workdir is missing; try --workdir=runs/digits")
    return values.workdir


def _define_processes() -> None:
    flags.DEFINE_integer(
        "num_processes",
        0,
        "How many processes train together, one on each host; 0 for as many as the environment says (Cloud TPU, SLURM, "
        "Open MPI), 1 for this one alone.",
        0,
    )
    flags.DEFINE_integer("process_id", -1, "Which of them this is, from 0; -1 where the environment tells.", -1)
    flags.DEFINE_string("coordinator", "", "host:port of process 0; empty where the environment tells.")
    flags.DEFINE_integer(
        "process_timeout", 100, "Seconds after which a process that is not heard of ends all others.", 1
    )


def _join() -> None:
    values = flags.FLAGS
    if values.num_processes > 1 and values.coordinator:
        print(f"waiting for {values.num_processes} processes at {values.coordinator}", file=sys.stderr)
    num = processes.join(
        coordinator=values.coordinator,
        num=values.num_processes,
        index=values.process_id,
        timeout_seconds=values.process_timeout,
    )
    if num > 1 and processes.is_first():
        print(
            f"{num} processes with {jax.device_count()} devices; where one ends, all end within "
            f"{values.process_timeout} s, and the same command goes on from the last checkpoint",
            file=sys.stderr,
        )


def _parse(argv: list[str]) -> list[str]:
    # Libraries speak up at INFO; only warnings are for the user.
    logging.set_verbosity(logging.WARNING)
    std_logging.getLogger().setLevel(std_logging.WARNING)
    rest = _report(lambda: flags.FLAGS(argv), code=2, errors=(Exception,))
    if len(rest) > 1:
        _fail(f"stray argument {rest[1]!r}; flags look like --name=value", 2)
    return rest


def _report(call: Callable, *, code: int, errors: tuple[type[Exception], ...] = USER_ERRORS):
    try:
        return call()
    except errors as error:
        # Before the flags are parsed there is no value to ask.
        if "--traceback" in sys.argv:
            raise
        _fail(_sentence(error), code)


def _fail(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def _sentence(error: Exception) -> str:
    """Say what an error says in one line; libraries' own are put into words."""
    if isinstance(error, flags.UnrecognizedFlagError):
        return f"unknown flag --{error.flagname}" + hint(error.flagname, list(flags.FLAGS))
    missing = next((arg.split("=", 1)[1] for arg in sys.argv if arg.startswith("--config=")), "").split(":")[0]
    if missing and not Path(missing).is_file():
        found = [str(path) for path in Path("configs").glob("**/*.py")]
        return f"--config: there is no file {missing!r}" + hint(missing, found)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, AttributeError | KeyError):
        field, *hints = _unquoted(str(error)).splitlines()
        return f"the config has no field {field.strip(QUOTES)}" + "".join(f"; {hint}" for hint in hints)
    return lines[-1] if lines else type(error).__name__


def _unquoted(text: str) -> str:
    # ml_collections turns a KeyError, whose text is quoted, into an AttributeError.
    try:
        return str(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        return text
