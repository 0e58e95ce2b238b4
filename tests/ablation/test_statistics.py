"""Summaries of a study: means and intervals, scores that do not flatter, what happens over the budget."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from genloss_jax.ablation import statistics
from tests.ablation.conftest import LOSSES, make_results

RNG = np.random.default_rng


# --- Cells ---


def test_cells_hold_the_mean_and_standard_error_of_their_seeds():
    values = RNG(0).normal(size=(7, 3, 2))
    cells = statistics.cells(make_results(values)).set_index(["loss", "penalty"])
    assert cells["num_seeds"].eq(7).all() and cells["num_failed"].eq(0).all()
    for i, loss in enumerate(LOSSES):
        for penalty in range(2):
            cell = cells.loc[(loss, penalty)]
            np.testing.assert_allclose(cell["mean"], values[:, i, penalty].mean(), rtol=1e-12)
            np.testing.assert_allclose(cell["standard_error"], stats.sem(values[:, i, penalty]), rtol=1e-12)
            assert cell["low"] < cell["mean"] < cell["high"]
            assert (cell["best"], cell["worst"]) == (values[:, i, penalty].min(), values[:, i, penalty].max())


def test_intervals_are_those_of_scipys_bca_bootstrap():
    values = RNG(1).exponential(size=(12, 1, 1))
    cell = statistics.cells(make_results(values), confidence=0.9).iloc[0]
    expected = stats.bootstrap((values.ravel(),), np.mean, confidence_level=0.9, rng=RNG(2)).confidence_interval
    width = expected.high - expected.low
    np.testing.assert_allclose([cell["low"], cell["high"]], expected, atol=0.05 * width)


def test_intervals_hold_the_mean_about_as_often_as_they_say():
    num, truth = 400, 1.0
    values = RNG(3).normal(truth, 1.0, (20, 1, num))
    cells = statistics.cells(make_results(values))
    covered = np.mean((cells["low"] <= truth) & (truth <= cells["high"]))
    # The bootstrap of 20 values is a little short of 95 %: sqrt(19/20) of a normal interval's width gives 0.93.
    assert abs(covered - 0.93) < 3 * np.sqrt(0.93 * 0.07 / num)


@pytest.mark.parametrize("seeds", [[2.5], [2.5, 2.5, 2.5], [1.0, 2.0], [0.0, 0.0, 0.0, 0.0, 1e30]])
def test_few_equal_or_extreme_values_have_an_honest_interval(seeds):
    cell = statistics.cells(make_results(np.reshape(seeds, (-1, 1, 1)))).iloc[0]
    if len(seeds) == 1:
        assert np.isnan([cell["low"], cell["high"], cell["standard_error"]]).all()
    else:
        assert min(seeds) <= cell["low"] <= cell["mean"] <= cell["high"] <= max(seeds)


def test_failed_members_count_as_the_worst_sound_one_of_the_study():
    values = np.array([[[1.0, 4.0], [9.0, 2.0]], [[np.nan, 5.0], [3.0, np.inf]]])
    cells = statistics.cells(make_results(values)).set_index(["loss", "penalty"])
    assert cells.loc[("hinge", 0), "mean"] == (1.0 + 9.0) / 2
    assert cells.loc[("wasserstein", 1), "mean"] == (2.0 + 9.0) / 2
    assert cells["num_failed"].tolist() == [1, 0, 0, 1]
    assert cells["failure_rate"].tolist() == [0.5, 0.0, 0.0, 0.5]
    higher = statistics.cells(make_results(values, direction="higher")).set_index(["loss", "penalty"])
    assert higher.loc[("hinge", 0), "mean"] == 1.0
    near_one = statistics.cells(make_results(values, direction="1")).set_index(["loss", "penalty"])
    assert near_one.loc[("hinge", 0), ["best", "worst"]].tolist() == [1.0, 9.0]


# --- Choosing a cell ---


@pytest.mark.parametrize(("direction", "expected"), [("lower", 0), ("higher", 2), ("1", 1)])
def test_the_chosen_cell_is_best_over_all_seeds(direction, expected):
    # Means -1, 1, 3; the second is also the one nearest to 1 in every seed, the first is not in its mean.
    values = np.array([-1.0, 1.0, 3.0]) + RNG(4).normal(0.0, 0.1, (6, 2, 3))
    chosen = statistics.chosen(make_results(values, direction=direction))
    assert chosen["penalty"].tolist() == [expected] * 2
    assert chosen.index.tolist() == list(LOSSES[:2])


def test_a_mass_that_is_one_only_on_average_is_not_chosen():
    values = np.array([[[0.0, 0.9]], [[2.0, 0.9]]])
    assert statistics.chosen(make_results(values, direction="1"))["penalty"].tolist() == [1]


def test_scores_of_one_cell_are_its_values_paired_by_seed():
    values = RNG(5).normal(size=(6, 3, 1))
    scores = statistics.scores(make_results(values))
    assert scores.columns.tolist() == list(LOSSES) and scores.index.tolist() == list(range(6))
    np.testing.assert_array_equal(scores, values[:, :, 0])


def test_a_seed_has_no_say_in_the_choice_of_its_own_cell():
    values = RNG(6).normal(size=(5, 1, 4))
    scores = statistics.scores(make_results(values))[LOSSES[0]]
    for seed in range(5):
        best = np.delete(values[:, 0], seed, axis=0).mean(axis=0).argmin()
        assert scores[seed] == values[seed, 0, best]


def test_a_single_seed_chooses_for_itself():
    values = np.array([[[3.0, 1.0, 2.0], [5.0, 6.0, 4.0]]])
    results = make_results(values, losses=("hinge", "minimax"))
    assert statistics.scores(results).loc[0].tolist() == [1.0, 4.0]
    assert "One seed cannot tell" in statistics.verdict_of(results).sentence


def test_one_diverged_seed_does_not_swallow_the_digits_of_the_others():
    values = np.array([[[1e30, 2.0]], [[5.0, 2.0]], [[5.0, 2.0]]])
    np.testing.assert_array_equal(statistics.scores(make_results(values))[LOSSES[0]], [2.0, 2.0, 2.0])


def test_choosing_without_the_seed_does_not_flatter_and_choosing_with_it_does():
    num_studies, num_seeds, num_cells = 1500, 6, 5
    noise = RNG(7).normal(size=(num_seeds, num_studies, num_cells))
    # Each loss is a study of its own: pure noise of mean 0.
    results = make_results(noise, losses=tuple(f"loss {i}" for i in range(num_studies)))
    held_out, tuned = (statistics.scores(results, held_out=how).to_numpy() for how in (True, False))
    study_means = held_out.mean(axis=0)
    assert abs(study_means.mean()) < 3 * stats.sem(study_means)
    best_of_five = 1.16296  # expected maximum of five standard normals
    optimism = tuned.mean(axis=0)
    assert abs(optimism.mean() + best_of_five / np.sqrt(num_seeds)) < 3 * stats.sem(optimism)


def test_tuned_scores_are_the_values_of_the_chosen_cell():
    values = RNG(8).normal(size=(5, 3, 4))
    results = make_results(values)
    chosen = statistics.chosen(results)
    tuned = statistics.scores(results, held_out=False)
    for i, loss in enumerate(LOSSES):
        np.testing.assert_array_equal(tuned[loss], values[:, i, chosen.loc[loss, "penalty"]])


def test_members_that_are_missing_leave_their_scores_empty():
    values = RNG(9).normal(size=(4, 2, 3))
    scores = statistics.scores(make_results(values, missing=[(1, "hinge"), (3, "wasserstein")]))
    assert scores.isna().to_numpy().nonzero()[0].tolist() == [1, 3]
    verdict = statistics.verdict_of(make_results(values, missing=[(1, "hinge"), (3, "wasserstein")]))
    assert verdict.comparisons["num_seeds"].tolist() == [2]


# --- Ranks ---


def test_ranks_share_ties_and_follow_the_direction():
    scores = pd.DataFrame({"a": [1.0, 1.0], "b": [2.0, 1.0], "c": [3.0, 3.0]})
    assert statistics.ranks(scores, "lower")["mean"].tolist() == [1.25, 1.75, 3.0]
    assert statistics.ranks(scores, "higher")["mean"].tolist() == [2.75, 2.25, 1.0]
    # Distances to 1: a 0, 0; b 1, 0; c 2, 2.
    assert statistics.ranks(scores, "1")["mean"].tolist() == [1.25, 1.75, 3.0]


def test_rank_intervals_hold_the_mean_and_reach_no_further_than_ranks_do():
    ranks = statistics.ranks(pd.DataFrame(RNG(10).normal(size=(10, 4))), "lower")
    assert (ranks["low"] <= ranks["mean"]).all() and (ranks["mean"] <= ranks["high"]).all()
    assert ranks["low"].min() >= 1.0 and ranks["high"].max() <= 4.0


def test_ranks_of_one_seed_have_no_interval():
    ranks = statistics.ranks(pd.DataFrame({"a": [1.0], "b": [2.0]}), "lower")
    assert ranks["mean"].tolist() == [1.0, 2.0] and ranks[["low", "high"]].isna().all(axis=None)


# --- Over the budget ---


def turning(num_seeds=10):
    """Hinge leads clearly at first, and wasserstein at the end; between they cannot be told apart."""
    shift = np.array([[0.0, 2.0], [0.0, 0.0], [2.0, 0.0]])
    return shift[:, None, :, None] + RNG(11).normal(0.0, 0.5, (3, num_seeds, 2, 1))


def test_curves_follow_the_mean_score_of_each_entry():
    values = turning()
    curves = statistics.curves(make_results(values, steps=(10, 20, 30))).set_index(["entry", "step"])
    for i, loss in enumerate(LOSSES[:2]):
        for j, step in enumerate((10, 20, 30)):
            row = curves.loc[(loss, step)]
            np.testing.assert_allclose(row["mean"], values[j, :, i, 0].mean(), rtol=1e-12)
            assert row["low"] < row["mean"] < row["high"]


def test_the_budget_says_where_the_verdict_flips():
    budget = statistics.budget(make_results(turning(), steps=(10, 20, 30)))
    assert budget["step"].tolist() == [10, 20, 30]
    assert budget["apart"].tolist() == [True, False, True]
    assert budget["leader"].iloc[[0, 2]].tolist() == ["hinge", "wasserstein"]
    assert budget["flips"].tolist() == [False, True, True]
    assert "cannot tell" in budget["sentence"][1]


# --- Failures ---


def test_failures_are_counted_by_cell_and_term():
    values = np.ones((2, 4, 2, 1))
    values[0, 0, 0] = values[1, 0, 0] = values[1, 1, 0] = values[1, 2, 1] = np.nan
    results = make_results(values, steps=(10, 20))
    results.members.loc[results.members["seed"] == 1, "failed_term"] = "discriminator/loss"
    failures = statistics.failures(results)
    assert failures.columns.tolist() == ["loss", "penalty", "term", "count", "share", "first_step"]
    assert failures.values.tolist() == [
        ["hinge", 0, "generator/loss", 1, 0.25, 10],
        ["hinge", 0, "discriminator/loss", 1, 0.25, 20],
        ["wasserstein", 0, "generator/loss", 1, 0.25, 20],
    ]


def test_a_study_without_failures_has_none():
    failures = statistics.failures(make_results(np.ones((3, 2, 1))))
    assert failures.empty and "share" in failures


# --- Degenerate studies ---


def test_a_study_whose_members_all_failed_says_so():
    results = make_results(np.full((3, 2, 2), np.nan))
    assert statistics.cells(results)["failure_rate"].tolist() == [1.0] * 4
    assert statistics.chosen(results).index.tolist() == ["hinge", "wasserstein"]
    assert statistics.scores(results).isna().all(axis=None)
    assert statistics.curves(results)["mean"].isna().all()
    verdict = statistics.verdict_of(results)
    assert not verdict.apart and verdict.sentence == "No member has a finite value: there is nothing to compare."
    assert statistics.budget(results)["sentence"].tolist() == [verdict.sentence]


def test_an_entry_whose_members_all_failed_has_the_worst_score():
    values = RNG(12).normal(size=(8, 2, 2))
    values[:, 1] = np.nan
    scores = statistics.scores(make_results(values))
    assert (scores["wasserstein"] == np.nanmax(values)).all()
    verdict = statistics.verdict_of(make_results(values))
    assert verdict.leader == "hinge" and verdict.apart


def test_an_unknown_metric_or_step_is_an_error_that_names_it():
    results = make_results(np.ones((2, 2, 1)))
    with pytest.raises(ValueError, match="unknown metric 'distence'; did you mean 'distance'"):
        statistics.scores(results, "distence")
    with pytest.raises(ValueError, match="step 7 has no 'distance', expected one of 100"):
        statistics.cells(results, step=7)


def test_two_members_of_one_setting_are_an_error():
    results = make_results(np.ones((2, 2, 1)))
    results.table["seed"] = 0
    with pytest.raises(ValueError, match="two members with equal loss, penalty, seed"):
        statistics.scores(results)
