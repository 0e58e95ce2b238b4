"""Write docs/choosing.md from studies: `python -m experiments.choosing --have=benchmarks/results/ring`."""

import os
from collections.abc import Mapping
from pathlib import Path

from absl import flags

from experiments import command
from genloss_jax.ablation import advice, results, statistics

_INTRODUCTION = """# Which loss should I use?

Written by `{command}`; do not edit.

What stands here was measured. A study trains every candidate with the same networks, the same data and the same
budget, at several settings and seeds, and names one only where a paired comparison over seeds can tell it from the
others ([statistics.md](statistics.md)). It holds for the data, the networks and the budget that it was made with,
and for the metric that it names: for your own, write a study ([ablations.md](ablations.md)) and ask `python -m
experiments.advise`.
"""

_STABILITY = """## Why GANs are unstable

Near the equilibrium the players of a GAN circle: the generator goes where the critic points, the critic points away
from where the generator is, and the eigenvalues of that motion are imaginary for nearly every loss. The choice of
the loss sets how fast they turn, and no loss damps them. What damps them is a penalty on the critic's gradient that
is felt *at* the equilibrium, such as R1, R2 or a gradient penalty with centre 0, in a dose: too little leaves them
circling, too much holds the critic flat and the generator creeps. A penalty that asks for gradients of norm one
never comes to rest there. Looking ahead (extragradient steps) damps a little; simultaneous steps make it worse.

![Phase portraits: rotation, damping, over-damping](stability.png)

[stability.md](stability.md) derives it, with the eigenvalues of every loss and penalty.
"""


def page(have: list[str], folder: Path) -> str:
    """Compose the page.

    Args:
        have: directories of studies, as `experiments.ablate` writes them.
        folder: where the page is to lie; studies' pictures are linked from where they lie.

    Returns:
        Markdown.

    Raises:
        ValueError: if there is no study.
    """
    if not have:
        raise ValueError("--have is missing; try --have=runs/ring,runs/families_2d")
    studies = {workdir: results.load(workdir) for workdir in have}
    parts = [_INTRODUCTION.format(command=f"python -m experiments.choosing --have={','.join(have)}")]
    for modality in dict.fromkeys(each.study["modality"] for each in studies.values()):
        for axis, own in advice.by_axis(studies, modality).items():
            parts += [f"## {advice.heading(axis, modality)}\n", *_measured(own, folder)]
            names = {Path(workdir).name: each for workdir, each in own.items()}
            parts.append(advice.markdown(advice.advise(names, modality)) + "\n")
    return "\n".join([*parts, _STABILITY])


def _measured(studies: Mapping[str, results.Results], folder: Path) -> list[str]:
    """Show what each study found."""
    parts = []
    for workdir, each in studies.items():
        study = each.study
        report = os.path.relpath(Path(workdir) / "report", folder)
        budget = f"{study['num_members']} members, {study['total_steps']:,} steps each, data: {study['data']}"
        parts.append(
            f"**{study['title']}** ({budget}). {statistics.verdict_of(each).sentence}\n\n"
            f"![Leaderboard of {study['name']}]({report}/report.png)\n\n"
            f"All of it: [{report}/report.html]({report}/report.html)\n"
        )
    return parts


def define_flags() -> None:
    """Define what the command line takes."""
    flags.DEFINE_list("have", [], "Directories of the studies to rest on, with commas between them.")
    flags.DEFINE_string("out", "docs/choosing.md", "The file to write.")


def main(values: flags.FlagValues) -> None:
    """Write what the flags say."""
    out = Path(values.out)
    out.write_text(page(values.have, out.parent))
    print(out)


if __name__ == "__main__":
    command.start(main, define_flags)
