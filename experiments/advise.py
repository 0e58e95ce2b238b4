"""Ask studies which loss to use: `python -m experiments.advise --modality=plane --have=runs/ring,runs/grid`.

Studies of losses advise on the loss, studies of families on the family, and so on: each axis has its own advice.
"""

from absl import flags

from experiments import command
from genloss_jax.ablation import advice, results

FORMATS = {"text": advice.text, "markdown": advice.markdown}
_HEADINGS = {"text": "{}\n", "markdown": "## {}\n"}


def run(have: list[str], modality: str, style: str = "text") -> dict[str, advice.Advice]:
    """Print what studies say about the choice, the rule and the rows that it rests on.

    Args:
        have: directories of studies, as `experiments.ablate` writes them.
        modality: the kind of data to be advised on; studies of other kinds are left out.
        style: "text" or "markdown".

    Returns:
        Axis, such as "loss" -> the advice.

    Raises:
        ValueError: if there is no study, none of this modality, or they cannot be compared.
    """
    parts = advice.by_axis({workdir: results.load(workdir) for workdir in have}, modality)
    given = {axis: advice.advise(studies, modality) for axis, studies in parts.items()}
    for axis, each in given.items():
        print(_HEADINGS[style].format(advice.heading(axis, modality)))
        print(FORMATS[style](each), end="\n\n")
    return given


def define_flags() -> None:
    """Define what the command line takes."""
    flags.DEFINE_string("modality", None, "What is to be generated: plane, image, ..., as the studies name it.")
    flags.DEFINE_list("have", [], "Directories of the studies to rest on, with commas between them.")
    flags.DEFINE_enum("format", "text", list(FORMATS), "How the advice is laid out.")


def main(values: flags.FlagValues) -> None:
    """Advise on what the flags say."""
    if not values.have:
        raise ValueError("--have is missing; try --have=runs/ring,runs/grid")
    if not values.modality:
        raise ValueError("--modality is missing; try --modality=plane")
    run(values.have, values.modality, values.format)


if __name__ == "__main__":
    command.start(main, define_flags)
