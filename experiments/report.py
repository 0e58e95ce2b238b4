"""Set finished runs side by side: `python -m experiments.report --workdirs=runs/first,runs/second --out=report`."""

from pathlib import Path

from absl import flags

from experiments import command, examine, remote, saved
from genloss_jax import metrics
from genloss_jax.training import pictures

PAGE, PICTURE = "report.md", "report.png"


def run(workdirs: list[str], out: str | Path, checkpoint: str = "last") -> dict[str, dict[str, float]]:
    """Measure runs on the same data, write one page with a table and a picture, and return the values.

    Args:
        workdirs: directories that `experiments.train` wrote; the last part of each is the run's name on the page.
        out: directory to write `report.md` and `report.png` to.
        checkpoint: "last", "best", or the number of a step.

    Returns:
        run -> metric -> value.

    Raises:
        ValueError: if there is no run, two have one name, or their metrics cannot be compared.
    """
    remote.refuse(out, what="a page", flag="out")
    names = [Path(workdir).name for workdir in workdirs]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"workdirs must be one or more runs whose directories have different names, got {workdirs}")
    runs = {name: saved.load(workdir, checkpoint) for name, workdir in zip(names, workdirs, strict=True)}
    first = runs[names[0]]
    for name, found in runs.items():
        if _protocol(found) != _protocol(first):
            raise ValueError(
                f"runs of different data or evaluation cannot be compared: {names[0]} has {_protocol(first)}, "
                f"{name} has {_protocol(found)}"
            )
    looked = {
        name: examine.examiner(found.setup, found.evaluator, found.config)(found.state) for name, found in runs.items()
    }
    values = {name: measured for name, (measured, _) in looked.items()}
    out = Path(out)
    page = metrics.comparison(values, [found.evaluator for found in runs.values()])
    shown = {"real": examine.real_picture(first.setup)} | {name: picture for name, (_, picture) in looked.items()}
    pictures.save_png(out / PICTURE, pictures.side_by_side(shown))
    caption = f"{first.evaluator.num_samples} samples of each run on {first.config.data.name}, floors beside them."
    (out / PAGE).write_text(f"{caption}\n\n{page}\n\n![Samples of each run, beside real examples]({PICTURE})\n")
    print(page)
    print(f"page: {out / PAGE}")
    return values


def _protocol(found: saved.Saved) -> tuple[str, tuple[int, ...], int, int, str]:
    evaluator, seed = found.evaluator, found.config.evaluation.seed
    return found.config.data.name, found.setup.dataset.shape, evaluator.num_samples, seed, evaluator.extractor


def define_flags() -> None:
    """Define what the command line takes."""
    flags.DEFINE_list("workdirs", [], "The runs to set side by side, with commas between them.")
    flags.DEFINE_string("checkpoint", "last", "last, best, or the number of a step.")
    flags.DEFINE_string("out", "report", "Directory of the page and its picture.")


def main(values: flags.FlagValues) -> None:
    """Report what the flags say."""
    if not values.workdirs:
        raise ValueError("--workdirs is missing; try --workdirs=runs/first,runs/second")
    run(values.workdirs, values.out, values.checkpoint)


if __name__ == "__main__":
    command.start(main, define_flags)
