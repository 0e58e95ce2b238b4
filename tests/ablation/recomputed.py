"""Every number of a report, computed anew from the files of a study with pandas, NumPy and SciPy."""

import json

import numpy as np
import pandas as pd
from scipy import stats

COSTS = {"lower": lambda x: x, "higher": lambda x: -x, "1": lambda x: abs(x - 1.0)}
CONFIDENCE = 0.96


class Study:
    """The files of a study whose entries are losses, with the axes penalty and learning_rate beside the seed."""

    def __init__(self, workdir):
        self.description = json.loads((workdir / "study.json").read_text())
        self.table = pd.read_csv(workdir / "table.csv", keep_default_na=False, na_values={"value": [""]})
        self.members = pd.read_csv(workdir / "members.csv", keep_default_na=False, na_values={"failed_step": [""]})
        self.metric = self.description["metric"]
        self.steps = sorted(self.table["step"].unique())

    def cost(self, values, metric=None):
        return COSTS[self.description["directions"][metric or self.metric]](values)

    def grid(self, metric=None, step=None):
        """Give values as entry -> array [cells, seeds], a failed member at the worst; and which failed."""
        metric, step = metric or self.metric, step or self.steps[-1]
        rows = self.table.query("metric == @metric and step == @step")
        values = rows.set_index(["loss", "penalty", "learning_rate", "seed"])["value"].unstack("seed")
        failed = values.isna()
        worst = rows["value"].iloc[np.nanargmax(self.cost(rows["value"].to_numpy(), metric))]
        return values.fillna(worst), failed

    def scores(self, step=None, *, held_out=True):
        """Give the paired table [seeds, entries]: each seed at the cell that the other seeds like best."""
        values, _ = self.grid(step=step)
        columns = {}
        for entry, some in values.groupby("loss"):
            matrix = some.to_numpy()
            if held_out:
                best = [np.argmin(self.cost(np.delete(matrix, s, axis=1)).mean(1)) for s in range(matrix.shape[1])]
            else:
                best = [np.argmin(self.cost(matrix).mean(1))] * matrix.shape[1]
            columns[entry] = [matrix[cell, seed] for seed, cell in enumerate(best)]
        return pd.DataFrame(columns)

    def verdict(self, step=None):
        """Give the leader and, of each other entry, what the report says of the pair."""
        held, tuned = (self.cost(self.scores(step, held_out=way)) for way in (True, False))
        order = held.mean().sort_values().index
        leader, others = order[0], order[1:]
        pairs = {b: [tuned[leader] - tuned[b], held[leader] - held[b]] for b in others}
        p = np.array([self._p(*pair) for pair in pairs.values()])
        half = np.minimum(1.0, p * len(order) / 2)
        by_size = np.argsort(half, kind="stable")
        holm = np.empty(len(p))
        holm[by_size] = np.minimum(1.0, np.maximum.accumulate(half[by_size] * np.arange(len(p), 0, -1)))
        adjusted = np.minimum(holm, p.max())
        sign = -1.0 if self.description["directions"][self.metric] == "higher" else 1.0
        rows = {}
        for (b, (fixed, free)), raw, corrected in zip(pairs.items(), p, adjusted, strict=True):
            level = (1.0 - CONFIDENCE) * raw / corrected
            bounds = np.array([_interval(fixed, level), _interval(free, min(1.0, 5 * level))])
            low, high = sorted(sign * bound for bound in (bounds[:, 0].min(), bounds[:, 1].max()))
            wins = (free < 0).mean() + 0.5 * (free == 0).mean()
            rows[b] = {"difference": sign * free.mean(), "difference_low": low, "difference_high": high}
            rows[b] |= {"p": raw, "p_adjusted": corrected, "leader_wins": wins, "num_seeds": len(free)}
        return leader, rows

    def _p(self, fixed, free):
        if not (fixed.mean() < 0 and free.mean() < 0):
            return 1.0
        return max(_p_value(fixed), _p_value(free) / 5)

    def numbers(self):
        """Give all numbers in tables: key -> value."""
        found = {}

        def put(table, row, **values):
            found.update({f"{table}/{row}/{name}": float(value) for name, value in values.items()})

        description, table = self.description, self.table
        seconds = sum(group["seconds"] for group in description["groups"].values())
        num = table["member"].nunique()
        put("studied", "entries", num_entries=table["loss"].nunique())
        for axis in ("penalty", "learning_rate"):
            put("studied", axis, num_values=table[axis].nunique())
        put("studied", "seeds", num_seeds=table["seed"].nunique())
        put("studied", "members", num_members=num, num_planned=description["num_members"])
        put("studied", "budget", total_steps=description["total_steps"], num_evaluations=len(self.steps))
        put("studied", "samples", num_samples=description["num_samples"])
        put("studied", "time", seconds=seconds, num_groups=len(description["groups"]), seconds_per_member=seconds / num)

        scores, (values, failed) = self.scores(), self.grid()
        costs = self.cost(scores)
        ranks = costs.rank(axis=1)
        cell_costs = self.cost(values).mean(axis=1)
        chosen = {entry: some.idxmin() for entry, some in cell_costs.groupby("loss")}
        for entry in scores:
            wins = [self._wins(costs[entry], costs[other]) for other in scores if other != entry]
            low, high = _bca(scores[entry])
            rank_low, rank_high = _bca(ranks[entry])
            put("leaderboard", entry, mean=scores[entry].mean(), low=low, high=high)
            put("leaderboard", entry, rank=ranks[entry].mean(), rank_low=rank_low, rank_high=rank_high)
            put("leaderboard", entry, win_rate=np.mean(wins), failure_rate=failed.loc[entry].to_numpy().mean())
            put("leaderboard", entry, chosen_failure_rate=failed.loc[chosen[entry]].mean())
            for other in scores:
                if other != entry:
                    put("win_rates", entry, **{other: self._wins(costs[entry], costs[other])})
            for metric in description["directions"]:
                if metric != self.metric:
                    seeds = self.grid(metric)[0].loc[chosen[entry]]
                    low, high = _bca(seeds)
                    values_of = {metric: seeds.mean(), f"{metric}_low": low, f"{metric}_high": high}
                    put("other_metrics", entry, **values_of)
            found.update(self._of_samples(entry, chosen[entry]))
        for name, value in description["floors"].items():
            metric = name.removesuffix("_standard_error")
            put("leaderboard" if metric == self.metric else "other_metrics", "real data", **{name: value})
        for entry, row in self.verdict()[1].items():
            put("comparisons", entry, **row)
        for place, step in enumerate(self.flips()):
            put("flips", "verdict", **{f"flip_{place}": step})
        found.update(self._failures())
        return found

    def flips(self):
        """Give the steps at which the leader is another, or can be told from all others where it could not be."""
        states = []
        for step in self.steps:
            leader, rows = self.verdict(step)
            states.append((leader, all(row["p_adjusted"] <= 1 - CONFIDENCE for row in rows.values())))
        return [step for step, before, now in zip(self.steps[1:], states, states[1:], strict=False) if before != now]

    def _wins(self, a, b):
        return ((a < b) + 0.5 * (a == b)).mean()

    def _of_samples(self, entry, chosen):
        last = self.table[(self.table["metric"] == self.metric) & (self.table["step"] == self.steps[-1])]
        values = last.set_index(["loss", "penalty", "learning_rate"])["value"].loc[[chosen]]
        by_cost = values.iloc[np.argsort(self.cost(values).to_numpy(), kind="stable")].to_list()
        places = {"best": by_cost[0], "median": by_cost[len(by_cost) // 2], "worst": by_cost[-1]}
        return {f"samples/{entry}/{place}": value for place, value in places.items()}

    def _failures(self):
        # A member's first evaluation without a value; the term stands in members.csv alone.
        first = self.table[self.table["value"].isna()].groupby("member")["step"].min().rename("first")
        failed = self.members.merge(first, on="member")
        cells = self.members.groupby(["loss", "penalty", "learning_rate"]).size()
        found = {}
        for (*cell, term), some in failed.groupby(["loss", "penalty", "learning_rate", "failed_term"]):
            entry, penalty, rate = cell
            row = f"failures/{entry}, penalty {penalty}, learning_rate {rate:g}, {term}"
            found |= {f"{row}/count": len(some), f"{row}/share": len(some) / cells[tuple(cell)]}
            found[f"{row}/first_step"] = some["first"].min()
        return found


def _p_value(differences):
    """Give that of the t test, or of the sign test where all seeds agree and it is smaller."""
    agree = abs(np.sign(differences).sum()) == len(differences)
    return min(stats.ttest_1samp(differences, 0).pvalue, 2.0 ** (1 - len(differences)) if agree else 1.0)


def _interval(differences, level):
    """Give that of the t test; where the sign test rejects, the end next to 0 is at most the nearest difference."""
    found = stats.ttest_1samp(differences, 0).confidence_interval(1.0 - level)
    agree = abs(np.sign(differences).sum()) == len(differences)
    if not agree or 2.0 ** (1 - len(differences)) > level:
        return found.low, found.high
    if differences.mean() < 0:
        return found.low, min(found.high, differences.max())
    return max(found.low, differences.min()), found.high


def _bca(values):
    """Give the interval of a mean that 2,000 resamples from seed 0 make, by SciPy."""
    values = np.asarray(values, float)
    if np.ptp(values) == 0:
        return values[0], values[0]
    found = stats.bootstrap((values,), np.mean, n_resamples=2_000, method="BCa", rng=np.random.default_rng(0))
    return found.confidence_interval
