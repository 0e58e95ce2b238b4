import numpy as np
import pandas as pd

from genloss_jax.ablation import Results

LOSSES = ("hinge", "wasserstein", "least_squares")


def make_results(values, *, direction="lower", losses=LOSSES, steps=(100,), missing=()):
    """Results of a study of losses and penalties.

    Args:
        values: `[seeds, losses, penalties]` or `[steps, seeds, losses, penalties]`; NaN is a member that failed.
        missing: (seed, loss) that have no members.
    """
    values = np.asarray(values, float)
    values = values[None] if values.ndim == 3 else values
    places = np.indices(values.shape).reshape(4, -1)
    frame = pd.DataFrame(
        {
            "study": "s",
            "group": "g",
            "member": np.ravel_multi_index(places[1:], values.shape[1:]),
            "loss": np.array(losses)[places[2]],
            "penalty": places[3],
            "seed": places[1],
            "step": np.array(steps)[places[0]],
            "metric": "distance",
            "value": values.ravel(),
        }
    )
    for seed, loss in missing:
        frame = frame[(frame["seed"] != seed) | (frame["loss"] != loss)]
    failed = frame[frame["value"].isna()].groupby("member")["step"].min()
    members = frame.drop_duplicates("member")[["member", "group", "loss", "penalty", "seed"]]
    members = members.assign(
        command="python -m experiments.train",
        failed_step=members["member"].map(failed).astype("Int64"),
        failed_term=np.where(members["member"].isin(failed.index), "generator/loss", ""),
    )
    study = {
        "name": "s",
        "axes": ["loss", "penalty", "seed"],
        "compare": "loss",
        "metric": "distance",
        "directions": {"distance": direction},
        "floors": {},
    }
    return Results(study, frame.reset_index(drop=True), members.reset_index(drop=True), {})
