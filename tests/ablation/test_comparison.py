"""The verdict: when it says that entries differ, and when it must not."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from genloss_jax.ablation import comparison, statistics
from tests.ablation.conftest import make_results

RNG = np.random.default_rng
LEVEL = 1.0 - comparison.CONFIDENCE


def frame(values, names="abcdefghijklmno"):
    values = np.asarray(values, float)
    return pd.DataFrame(values, columns=list(names[: values.shape[1]]))


def share_right(draw, is_right, num):
    return np.mean([is_right(comparison.verdict(frame(draw()), "lower")) for _ in range(num)])


def at_least(rate, num):
    """A bound that a share over `num` repetitions passes but for chance, if its expectation is the rate."""
    return rate - 3.0 * np.sqrt(rate * (1.0 - rate) / num)


# --- What the tests are ---


def test_p_values_of_two_entries_are_those_of_scipys_paired_t_test():
    values = RNG(0).normal([0.0, 0.3], 1.0, (9, 2))
    row = comparison.verdict(frame(values), "lower").comparisons.iloc[0]
    a, b = values[:, "ab".index(row["a"])], values[:, "ab".index(row["b"])]
    expected = stats.ttest_rel(a, b)
    np.testing.assert_allclose([row["p"], row["p_adjusted"]], expected.pvalue, rtol=1e-10)
    interval = expected.confidence_interval(comparison.CONFIDENCE)
    np.testing.assert_allclose([row["difference"], row["low"], row["high"]], [np.mean(a - b), *interval], rtol=1e-10)
    assert row["num_seeds"] == 9 and row["a_wins"] == np.mean(a < b)


@pytest.mark.parametrize("num", [1, 2, 7, 30])
def test_holms_correction_is_that_of_statsmodels(num):
    p = RNG(num).uniform(size=num) ** 3
    np.testing.assert_allclose(comparison.holm(p), multipletests(p, method="holm")[1], rtol=1e-12)


def test_claims_about_single_entries_pay_for_the_choice_of_the_leader():
    values = RNG(1).normal([0.0, 0.1, 2.0, 3.0], 1.0, (10, 4))
    rows = comparison.verdict(frame(values), "lower").comparisons
    # One-sided p times the four entries that might have led, then Holm's method over the three others.
    expected = multipletests(np.minimum(1.0, rows["p"] / 2 * 4), method="holm")[1]
    np.testing.assert_allclose(rows["p_adjusted"], np.minimum(expected, rows["p"].max()), rtol=1e-12)


def test_a_leader_that_beats_each_other_needs_no_correction_to_be_apart():
    values = RNG(2).normal(0.0, 0.01, (8, 1)) + np.array([0.0] + [1.0] * 9) + RNG(3).normal(0.0, 0.9, (8, 10))
    verdict = comparison.verdict(frame(values), "lower")
    assert verdict.apart == (verdict.comparisons["p"].max() <= LEVEL)


@pytest.mark.parametrize("seed", range(20))
def test_intervals_hold_zero_exactly_where_the_data_cannot_tell(seed):
    rng = RNG(seed)
    num_seeds, num_entries = int(rng.integers(2, 12)), int(rng.integers(2, 8))
    scores, tuned = (frame(rng.standard_t(2, (num_seeds, num_entries)) + np.arange(num_entries)) for _ in range(2))
    for other in (None, scores.round(), tuned):
        verdict = comparison.verdict(scores, "lower", tuned=other)
        rows = verdict.comparisons
        holds = (rows["low"] <= 0) & (rows["high"] >= 0)
        assert (holds == (rows["p_adjusted"] > LEVEL)).all()
        assert tuple(rows["b"][holds]) == verdict.rivals and verdict.apart == (not verdict.rivals)
        assert ((rows["low"] <= rows["difference"]) & (rows["difference"] <= rows["high"])).all()


def test_an_outlier_does_not_hide_what_all_seeds_agree_on():
    better = RNG(4).uniform(0.5, 1.0, 10)
    values = np.stack([np.zeros(10), better], axis=1)
    values[3, 1] = 1e20  # a member that diverged
    verdict = comparison.verdict(frame(values), "lower")
    assert verdict.apart and verdict.comparisons["p"][0] == 2.0**-9
    values[4, 1] = -0.1
    assert not comparison.verdict(frame(values), "lower").apart


def test_scores_that_depend_on_each_other_are_not_enough():
    scores = frame(RNG(5).normal(size=(10, 2)) * 0.1 + [0.0, 1.0])
    equal = frame([[0.0, 1.0], [1.0, 0.0]] * 5)
    assert comparison.verdict(scores, "lower").apart
    assert not comparison.verdict(scores, "lower", tuned=equal).apart
    assert not comparison.verdict(equal, "lower", tuned=scores).apart


# --- How often it is right; the full table is benchmarks/results/verdicts.csv ---


@pytest.mark.parametrize(
    ("noise", "num_seeds", "num_entries"), [("normal", 10, 2), ("standard_cauchy", 10, 2), ("normal", 10, 6)]
)
def test_one_loss_under_many_names_cannot_be_told_apart(noise, num_seeds, num_entries):
    rng, num = RNG([num_seeds, num_entries]), 100
    draw = {"normal": rng.normal, "standard_cauchy": lambda size: rng.standard_cauchy(size)}[noise]
    share = share_right(
        lambda: draw(size=(num_seeds, num_entries)), lambda found: len(found.rivals) == num_entries - 1, num
    )
    assert share >= at_least(0.96, num)


@pytest.mark.parametrize(("num_seeds", "rate"), [(5, 0.797), (10, 0.927), (20, 0.957)])
def test_a_difference_of_four_standard_errors_is_found_as_often_as_theory_says(num_seeds, rate):
    # The power of the t test at level 0.04 from the noncentral t distribution; no test of this level has more.
    np.testing.assert_allclose(stats.nct.sf(stats.t.isf(LEVEL / 2, num_seeds - 1), num_seeds - 1, 4.0), rate, atol=6e-4)
    rng, num = RNG(num_seeds), 100
    planted = np.array([0.0, 4.0 * np.sqrt(2.0 / num_seeds)])
    share = share_right(
        lambda: rng.normal(size=(num_seeds, 2)) + planted, lambda found: found.apart and found.leader == "a", num
    )
    assert share >= at_least(rate, num)


@pytest.mark.parametrize(
    "means",
    [[0, 0, 30, 30, 30], [0, 0, 0, 1.5, 1.5]],
    ids=["two of five tied", "three tied, two near"],
)
def test_entries_are_seldom_called_worse_than_one_that_is_not_better(means):
    rng, num, means = RNG(17), 100, np.array(means, float)
    spread = np.array([1.0, 0.5, 2.0, 1.0, 0.3])  # some losses are noisier than others

    def no_false_claim(found):
        mean = dict(zip("abcde", means, strict=True))
        told = set("abcde") - {found.leader, *found.rivals}
        return all(mean[b] > mean[found.leader] for b in told)

    share = share_right(lambda: means + spread * rng.normal(size=(10, 5)), no_false_claim, num)
    assert share >= at_least(0.96, num)


def two_names(rng, num_cells, better):
    values = rng.normal(size=(10, 2, num_cells))
    values[:, 1] += better
    return make_results(values)


@pytest.mark.parametrize("num_cells", [3, 12])
def test_one_loss_under_two_names_cannot_be_told_apart_whatever_it_may_choose_from(num_cells):
    rng, num = RNG(num_cells), 60
    share = np.mean([not statistics.verdict_of(two_names(rng, num_cells, 0.0)).apart for _ in range(num)])
    assert share >= at_least(0.96, num)


def test_held_out_scores_alone_would_claim_too_much():
    # The reason for the second way to score: remove it when this no longer holds.
    rng, num = RNG(8), 60
    scores = [statistics.scores(two_names(rng, 12, 0.0)) for _ in range(num)]
    assert np.mean([comparison.verdict(each, "lower").apart for each in scores]) > 0.1


def test_a_planted_difference_is_found_among_settings_to_choose_from():
    rng, num = RNG(9), 60
    share = np.mean([statistics.verdict_of(two_names(rng, 3, 4.0 * np.sqrt(0.2))).apart for _ in range(num)])
    assert share >= at_least(0.927, num)


# --- Directions ---


def test_the_direction_says_which_entry_leads():
    scores = frame(RNG(10).normal([0.5, 1.0, 3.0], 0.1, (8, 3)))
    for direction, leader in (("lower", "a"), ("higher", "c"), ("1", "b")):
        verdict = comparison.verdict(scores, direction)
        assert verdict.leader == leader and verdict.apart and (verdict.comparisons["a_wins"] == 1.0).all()


def test_differences_are_in_the_unit_of_the_metric():
    scores = frame([[0.5, 3.0], [0.75, 3.25], [0.5, 3.5]])
    assert comparison.verdict(scores, "lower").comparisons["difference"][0] == pytest.approx(-8 / 3)
    assert comparison.verdict(scores, "higher").comparisons["difference"][0] == pytest.approx(8 / 3)
    # |0.5 - 1| - |3 - 1| and so on.
    assert comparison.verdict(scores, "1").comparisons["difference"][0] == pytest.approx(-5.5 / 3)


def test_win_rates_count_ties_half():
    scores = frame([[1.0, 1.0, 3.0], [1.0, 2.0, 0.0], [1.0, 0.0, np.nan], [1.0, 2.0, 5.0]])
    wins = comparison.win_rates(scores, "lower")
    assert wins.loc["a", "b"] == (0.5 + 1 + 0 + 1) / 4 and wins.loc["b", "a"] == 1.5 / 4
    assert wins.loc["a", "c"] == 2 / 3
    assert np.diag(wins).tolist() == [0.5] * 3
    assert comparison.win_rates(scores, "higher").loc["a", "b"] == 1.5 / 4


# --- Degenerate studies ---


def test_equal_numbers_under_two_names_are_equal():
    values = RNG(11).normal(size=(10, 1))
    verdict = comparison.verdict(frame(np.repeat(values, 2, axis=1)), "lower", name_of_metric="kl")
    assert verdict.sentence == (
        "The data cannot tell these apart by kl: a and b. The first two differ by 0 (10 paired seeds): they have equal "
        "scores."
    )
    row = verdict.comparisons.iloc[0]
    assert (row["difference"], row["low"], row["high"], row["p"], row["a_wins"]) == (0.0, 0.0, 0.0, 1.0, 0.5)


def test_one_seed_tells_nothing():
    verdict = comparison.verdict(frame([[1.0, 2.0, 3.0]]), "lower")
    assert verdict.leader == "a" and not verdict.apart and verdict.rivals == ("b", "c")
    assert verdict.sentence.startswith("One seed cannot tell entries apart: a leads")
    assert verdict.comparisons["p_adjusted"].tolist() == [1.0, 1.0]
    assert verdict.comparisons["difference"].tolist() == [-1.0, -2.0]


def test_the_same_difference_in_every_seed_is_judged_by_the_number_of_seeds():
    few, many = (comparison.verdict(frame([[7.0, 8.0]] * num), "lower") for num in (4, 6))
    assert not few.apart and few.comparisons["p"][0] == 2.0**-3
    assert many.apart and many.comparisons["p"][0] == 2.0**-5
    assert (few.comparisons["low"][0], few.comparisons["high"][0]) == (-1.0, 0.0)
    assert (many.comparisons["low"][0], many.comparisons["high"][0]) == (-1.0, -1.0)


def test_entries_without_seeds_in_common_cannot_be_told_apart():
    scores = frame([[1.0, np.nan], [1.1, np.nan], [np.nan, 9.0], [np.nan, 9.5]])
    verdict = comparison.verdict(scores, "lower")
    assert not verdict.apart and verdict.comparisons["num_seeds"].tolist() == [0]


def test_an_entry_with_one_lucky_seed_does_not_lead():
    scores = frame(np.column_stack([RNG(12).normal([0.0, 5.0], 1.0, (6, 2)), [-9.0] + [np.nan] * 5]))
    verdict = comparison.verdict(scores, "lower")
    assert verdict.leader == "a" and verdict.rivals == ("c",)


def test_entries_are_compared_on_the_seeds_that_they_share():
    # b lacks the two hard seeds, on which a, which is better, has its worst scores.
    hard = np.array([10.0, 10.0, 0.0, 0.0, 0.0, 0.0])
    noise = RNG(13).normal(0.0, 0.01, (6, 2))
    scores = frame(np.stack([hard, hard + 0.5], axis=1) + noise)
    scores.loc[:1, "b"] = np.nan
    assert comparison.verdict(scores, "lower").leader == "a"


@pytest.mark.parametrize("values", [np.zeros((0, 0)), np.full((3, 2), np.nan), np.ones((3, 1))])
def test_nothing_to_compare_is_said_in_words(values):
    verdict = comparison.verdict(frame(values), "lower")
    assert verdict.sentence.endswith("there is nothing to compare.")
    assert not verdict.apart and verdict.rivals == () and verdict.comparisons.empty


def test_the_sentence_names_those_that_cannot_be_told_from_the_leader_and_counts_the_others():
    base = RNG(14).normal(size=(10, 1))
    scores = frame(base + RNG(15).normal(0.0, 0.1, (10, 4)) + [0.0, 0.0, 5.0, 6.0])
    verdict = comparison.verdict(scores, "lower", name_of_metric="kl")
    assert verdict.sentence.startswith("The data cannot tell these apart by kl: ")
    assert verdict.sentence.endswith(f"{verdict.leader} is better than the other 2.")
    clear = comparison.verdict(scores - [9.0, 0.0, 0.0, 0.0], "lower", name_of_metric="kl")
    assert clear.sentence.startswith("a is the best by kl: it differs from the next, b, by -9")
    assert "96% interval" in clear.sentence and "10 paired seeds" in clear.sentence


def test_bad_input_is_an_error_that_names_it():
    scores = frame(np.ones((3, 2)))
    with pytest.raises(ValueError, match="unknown direction 'lowest'"):
        comparison.verdict(scores, "lowest")
    with pytest.raises(ValueError, match=r"confidence is 95\.0, expected a number between 0 and 1"):
        comparison.verdict(scores, "lower", confidence=95.0)
    with pytest.raises(ValueError, match="tuned has entries"):
        comparison.verdict(scores, "lower", tuned=scores[["a"]])
