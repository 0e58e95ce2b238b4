"""A plausible study that took no training: losses on a ring of modes, some better than others, some unstable."""

import json

import numpy as np
import pandas as pd

from genloss_jax.ablation import results

LOSSES = ("hinge", "least_squares", "minimax", "non_saturating", "relativistic_paired", "wasserstein")
# How far above the floor each settles at its best setting, and how often it fails where steps are long.
QUALITY = {
    "hinge": 0.06,
    "least_squares": 0.09,
    "minimax": 0.20,
    "non_saturating": 0.065,
    "relativistic_paired": 0.02,
    "wasserstein": 0.5,
}
FRAGILE = {"least_squares": 0.3, "minimax": 0.5, "wasserstein": 0.9}
DIRECTIONS = {"reverse_kl": "lower", "modes_covered": "higher", "high_quality_share": "higher", "mass": "1"}
FLOORS = {
    "reverse_kl": 0.004,
    "reverse_kl_standard_error": 0.001,
    "modes_covered": 8.0,
    "high_quality_share": 0.989,
    "high_quality_share_standard_error": 0.002,
}


def study(
    losses=LOSSES,
    penalties=("none", "r1"),
    rates=(1e-4, 1e-3, 1e-2),
    num_seeds=5,
    steps=(1000, 2000, 5000, 10_000, 20_000),
    *,
    quality=QUALITY,
    fragile=FRAGILE,
    seed=0,
):
    """Return what a study of a grid leaves on disk: (study.json, table.csv, members.csv, samples.npz)."""
    rng = np.random.default_rng(seed)
    axes = ["loss", "penalty", "learning_rate", "seed"]
    luck = rng.normal(0.0, 0.15, num_seeds)  # members with equal seeds share it
    rows, members, clouds = [], [], []
    for member, (loss, penalty, rate, seed_) in enumerate(
        (loss, penalty, rate, seed_)
        for penalty in penalties
        for loss in losses
        for rate in rates
        for seed_ in range(num_seeds)
    ):
        group = f"penalty_{penalty}"
        place = {"loss": loss, "penalty": penalty, "learning_rate": rate, "seed": seed_}
        unstable = rate >= 1e-2 and penalty == "none"
        failed_step = rng.choice(steps) if rng.random() < (fragile.get(loss, 0.05) if unstable else 0.004) else None
        term = ("discriminator/loss", "generator/gradient_norm")[member % 2] if failed_step else None
        command = (
            f"python -m experiments.train --config=configs/gan_ring.py --config.loss={loss} "
            f"--config.penalty.name={penalty} --config.optimizer.learning_rate={rate} --config.seed={seed_}"
        )
        members.append({"member": member, "group": group, **place, "command": command})
        members[-1] |= {"failed_step": failed_step, "failed_term": term}
        far = quality.get(loss, 0.1) * (1.0 + 0.5 * (penalty == "none") + 0.4 * abs(np.log10(rate / 1e-3)))
        slow = 3000.0 if penalty == "r1" else 1200.0
        for step in steps:
            excess = far * np.exp(luck[seed_] + rng.normal(0.0, 0.12)) + 1.5 * np.exp(-step / slow)
            values = {
                "reverse_kl": 0.004 + excess,
                "modes_covered": float(np.round(8 - min(7.0, 8 * excess))),
                "high_quality_share": 0.989 - 0.4 * min(1.0, excess),
                "mass": 1.0 + rng.normal(0.0, 0.1) * excess,
            }
            alive = failed_step is None or step < failed_step
            rows += [
                {"study": "ring", "group": group, "member": member, **place, "step": step, "metric": name}
                | {"value": value if alive else np.nan}
                for name, value in values.items()
            ]
        clouds.append(_cloud(rng, 64, spread=0.05 + 0.2 * excess))
    groups = {
        f"penalty_{penalty}": {"members": len(members) // len(penalties), "chunk": 8, "placement": "vmap"}
        | {"seconds": 240.0 + 35.5 * index}
        for index, penalty in enumerate(penalties)
    }
    description = {
        "name": "ring",
        "title": "Adversarial losses on the ring of eight modes",
        "axes": axes,
        "compare": "loss",
        "metric": "reverse_kl",
        "modality": "plane",
        "directions": DIRECTIONS,
        "floors": FLOORS,
        "total_steps": steps[-1],
        "num_members": len(members),
        "num_samples": 2500,
        "data": "ring",
        "device": "simulated, 2 cores",
        "versions": {"jax": "0.10.0", "genloss_jax": "0.1.0"},
        "groups": groups,
    }
    samples = {"samples": np.stack(clouds), "members": np.arange(len(members)), "real": _cloud(rng, 64, spread=0.05)}
    table = pd.DataFrame(rows).sort_values(["group", "member", "step", "metric"], ignore_index=True)
    return description, table, pd.DataFrame(members), samples


def save(workdir, description, table, members, samples=None):
    """Write a study as the engine does."""
    results.write_csv(workdir / results.TABLE, table)
    results.write_csv(workdir / results.MEMBERS, members)
    (workdir / results.STUDY).write_text(json.dumps(description))
    if samples:
        np.savez(workdir / results.SAMPLES, **samples)
    return workdir


def _cloud(rng, num, spread):
    angles = 2 * np.pi * rng.integers(8, size=num) / 8
    return np.stack([np.cos(angles), np.sin(angles)], 1) * 2 + rng.normal(0.0, spread, (num, 2))
