"""Draw samples from a trained run: `python -m experiments.sample --workdir=runs/digits --num=64 --out=digits.png`."""

from pathlib import Path

import jax
import numpy as np
from absl import flags

from experiments import command, examine, remote, saved
from genloss_jax.training import pictures

SUFFIXES = (".png", ".npy")


def run(workdir: str | Path, out: str | Path, *, num: int = 64, seed: int = 0, checkpoint: str = "last") -> np.ndarray:
    """Draw samples, write them, and return them.

    Args:
        workdir: directory or `gs://bucket/path` that `experiments.train` wrote.
        out: file to write, .png or .npy.
        num: how many.
        seed: of the latents.
        checkpoint: "last", "best", or the number of a step.
    """
    remote.refuse(out, what="a picture", flag="out")
    out = Path(out)
    if out.suffix not in SUFFIXES:
        raise ValueError(f"out must end in one of {SUFFIXES}, got {str(out)!r}")
    found = saved.load(workdir, checkpoint)
    samples = np.asarray(examine.sampler(found.setup, num)(found.state, jax.random.key(seed)))
    if out.suffix == ".png":
        pictures.save_png(out, pictures.picture(samples))
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        np.save(out, samples, allow_pickle=False)
    print(f"{num} samples of step {found.step}: {out}")
    return samples


def define_flags() -> None:
    """Define what the command line takes."""
    flags.DEFINE_string("workdir", None, "The run to sample from: a directory, or gs://bucket/path.")
    flags.DEFINE_string("checkpoint", "last", "last, best, or the number of a step.")
    flags.DEFINE_integer("num", 64, "How many samples.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Seed of the latents.", lower_bound=0)
    flags.DEFINE_string("out", "samples.png", "Where to: .png for a picture, .npy for the numbers.")


def main(values: flags.FlagValues) -> None:
    """Draw what the flags say."""
    run(command.workdir(values), values.out, num=values.num, seed=values.seed, checkpoint=values.checkpoint)


if __name__ == "__main__":
    command.start(main, define_flags)
