"""What all launchers share: a plan is a list of commands and files, made as data, then printed or carried out."""

import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from experiments import remote
from genloss_jax._names import hint

MODULES = ("train", "ablate")
# Where a plan's files go; git and uploads ignore it.
FOLDER = Path("runs/cloud")
_NAME = r"[a-z]([-a-z0-9]{0,37}[a-z0-9])?"


class Command(NamedTuple):
    """A command, to be run here without a shell.

    Attributes:
        words: the program and its arguments.
        why: what it is for, in one line.
    """

    words: tuple[str, ...]
    why: str


class File(NamedTuple):
    """A file, to be written here.

    Attributes:
        path: relative to the repository.
        text: what is in it.
        why: what it is for, in one line.
    """

    path: Path
    text: str
    why: str


Plan = list[Command | File]


class Job(NamedTuple):
    """What is to be run there.

    Attributes:
        module: train or ablate.
        config: a file in configs/, with a variant after a colon if need be.
        workdir: where the run lives; the same job with the same workdir goes on with it.
        args: further flags, in one string as in a shell.
    """

    module: str
    config: str
    workdir: str
    args: str = ""

    def words(self, python: str) -> tuple[str, ...]:
        """Give the command that runs it.

        Args:
            python: the interpreter, as the machine there has it.

        Returns:
            The program and its arguments.

        Raises:
            ValueError: if config or workdir is missing, there is no such config, the workdir of a study is the address
                of a bucket, or `args` holds more than flags.
        """
        need(config=(self.config, "configs/gan_digits.py"), workdir=(self.workdir, "gs://my-bucket/runs/digits"))
        path = self.config.split(":")[0]
        if not Path(path).is_file():
            found = [str(each) for each in Path("configs").glob("**/*.py")]
            raise ValueError(f"--config: there is no file {path!r}{hint(path, found)}")
        if self.module == "ablate":
            remote.refuse(self.workdir)
        more = shlex.split(self.args)
        for word in more:
            if not word.startswith("--"):
                raise ValueError(f"--args: flags look like --name=value, got {word!r}")
        return (
            python,
            "-m",
            f"experiments.{self.module}",
            f"--config={self.config}",
            f"--workdir={self.workdir}",
            *more,
        )


def need(**flags_and_examples: tuple[object, str]) -> None:
    """Check that flags have a value.

    Args:
        **flags_and_examples: name of a flag -> its value, and an example of one.

    Raises:
        ValueError: naming the first that has none.
    """
    for flag, (value, example) in flags_and_examples.items():
        if not value:
            raise ValueError(f"--{flag} is missing; try --{flag}={example}")


def check_name(name: str) -> str:
    """Check a name that clouds take: for machines, clusters and jobs.

    Raises:
        ValueError: if it holds more than lower-case letters, digits and dashes, is missing, or has over 39 of them.
    """
    need(name=(name, "digits"))
    if not re.fullmatch(_NAME, name):
        raise ValueError(
            f"--name must be up to 39 lower-case letters, digits and dashes that begin with a letter, got {name!r}"
        )
    return name


def check_reachable(job: Job) -> None:
    """Check that every machine reaches a workdir, and that it outlives them.

    A run of `train` lives in a bucket, a study in a folder where one is mounted.

    Raises:
        ValueError: if it does not.
    """
    if job.module == "ablate":
        need(workdir=(job.workdir, "/bucket/runs/ring"))
        if not job.workdir.startswith("/"):
            raise ValueError(
                "--workdir of a study must be a folder where every machine has a bucket mounted, such as "
                f"/bucket/runs/ring; got {job.workdir!r}"
            )
        return
    need(workdir=(job.workdir, "gs://my-bucket/runs/digits"))
    if not re.fullmatch(r"gs://[a-z0-9][-_.a-z0-9]+/.+", job.workdir):
        raise ValueError(
            "--workdir must lie in a bucket, gs://bucket/path, which every machine reaches and which outlives them; "
            f"got {job.workdir!r}"
        )


def _lines(step: Command | File) -> str:
    if isinstance(step, Command):
        return f"# {step.why}\n{shlex.join(step.words)}\n"
    path = shlex.quote(str(step.path))
    return f"# {step.why}\nmkdir -p {shlex.quote(str(step.path.parent))}\ncat >{path} <<'END'\n{step.text}END\n"


def carry_out(plan: Iterable[Command | File], dry_run: bool) -> None:
    """Print a plan as the shell script that does the same, and do what it says up to where something fails.

    Args:
        plan: the steps, in order.
        dry_run: only print.

    Raises:
        ValueError: if a command is not installed or ends with another exit code than 0.
    """
    for step in plan:
        print(_lines(step), flush=True)
        if dry_run:
            continue
        if isinstance(step, File):
            step.path.parent.mkdir(parents=True, exist_ok=True)
            step.path.write_text(step.text)
        else:
            _run(step)


def _run(step: Command) -> None:
    try:
        code = subprocess.run(step.words, check=False).returncode
    except FileNotFoundError:
        raise ValueError(f"there is no command {step.words[0]!r} here; see experiments/cloud/README.md") from None
    if code:
        raise ValueError(f"ended with exit code {code}, and nothing after it was run: {shlex.join(step.words)}")


def define_flags(actions: Mapping[str, str]) -> None:
    """Define the flags that every launcher has.

    Args:
        actions: name -> what it does, in a few words.
    """
    lines = "; ".join(f"{name}: {does}" for name, does in actions.items())
    flags.DEFINE_list("action", [], f"What to do; several with commas between them are done in turn. {lines}.")
    flags.DEFINE_string("name", "genloss", "Name of the machines or the job: lower-case letters, digits and dashes.")
    flags.DEFINE_bool("dry_run", False, "Print what would be done, as a shell script, and do nothing.")
    flags.DEFINE_enum("module", "train", MODULES, "What to run: experiments.train or experiments.ablate.")
    flags.DEFINE_string("config", "", "Its config: a file such as configs/gan_digits.py.")
    flags.DEFINE_string(
        "workdir",
        "",
        "Where the run lives: gs://bucket/path in a cloud, the folder where a bucket is mounted for ablate, a shared "
        "folder under SLURM. Goes on with it.",
    )
    flags.DEFINE_string("args", "", "More flags of it, in one string: --args='--config.seed=1 --config.loss=hinge'")


def job(values: flags.FlagValues) -> Job:
    """Read the job from the flags."""
    return Job(values.module, values.config, values.workdir, values.args)


def check_actions(given: Sequence[str], valid: Iterable[str]) -> None:
    """Check that something is to be done, and that it is known.

    Raises:
        ValueError: if nothing is, or an action is unknown.
    """
    valid = list(valid)
    if not given:
        raise ValueError(f"--action is missing; valid: {', '.join(valid)}")
    for action in given:
        if action not in valid:
            raise ValueError(f"unknown action {action!r}{hint(action, valid)}; valid: {', '.join(valid)}")
