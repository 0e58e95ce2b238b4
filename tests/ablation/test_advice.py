"""Advice rests on the studies that it quotes, and is withheld where they cannot tell or disagree."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments import advise
from genloss_jax.ablation import advice, results, statistics
from tests.ablation import simulated

PAIR = {"losses": ("hinge", "minimax"), "penalties": ("none", "r1"), "rates": (1e-3,), "num_seeds": 8}
PAIR |= {"steps": (20_000,)}
HINGE, MINIMAX, NEITHER = ({"hinge": a, "minimax": b} for a, b in ((0.02, 0.3), (0.3, 0.02), (0.1, 0.1)))


def study(quality=HINGE, changes=None, **kwargs):
    description, table, members, samples = simulated.study(**PAIR | {"quality": quality, "fragile": {}} | kwargs)
    members = members.assign(failed_step=members["failed_step"].astype("Int64"))
    return results.Results(description | (changes or {}), table, members, samples)


def numbers(table):
    return {key: number.value for key, number in table.numbers()}


def test_the_entry_that_leads_everywhere_is_recommended():
    given = advice.advise({"ring": study(), "grid": study(seed=1)}, "plane")
    assert given.recommended == "hinge"
    assert given.sentence.startswith("Use hinge: in each of the 2 studies it leads")
    assert given.in_the_running == ("hinge",)


def test_nothing_is_recommended_where_the_data_cannot_tell():
    given = advice.advise({"ring": study(NEITHER)}, "plane")
    assert given.recommended is None
    assert set(given.in_the_running) == {"hinge", "minimax"}
    assert given.sentence.startswith("No advice: the data cannot tell these apart: ")


def test_nothing_is_recommended_where_studies_disagree():
    given = advice.advise({"ring": study(HINGE), "grid": study(MINIMAX)}, "plane")
    assert given.recommended is None
    assert given.in_the_running == ()
    assert "the studies disagree: hinge leads in ring, minimax leads in grid" in given.sentence


def test_one_study_settles_what_another_leaves_open():
    given = advice.advise({"ring": study(HINGE), "grid": study(NEITHER, seed=1)}, "plane")
    assert given.recommended == "hinge"


def test_the_numbers_are_those_of_the_studies():
    ring = study(losses=("hinge", "minimax", "wasserstein"), quality=simulated.QUALITY)
    found = advice.advise({"ring": ring}, "plane")
    evidence, scores = numbers(found.evidence), statistics.scores(ring)
    wins = statistics.win_rates(scores, "lower")
    for entry in scores:
        others = [other for other in scores if other != entry]
        np.testing.assert_allclose(evidence[f"evidence/ring, {entry}/mean"], scores[entry].mean(), rtol=1e-12)
        np.testing.assert_allclose(evidence[f"evidence/ring, {entry}/win_rate"], wins.loc[entry, others].mean())
        failed = ring.members["failed_step"].notna()[ring.members["loss"] == entry]
        np.testing.assert_allclose(evidence[f"evidence/ring, {entry}/failure_rate"], failed.mean())
        # Two groups of 24 members each, of 240 and 275.5 seconds.
        np.testing.assert_allclose(evidence[f"evidence/ring, {entry}/seconds"], (240.0 + 275.5) / 48)


def test_ranking_averages_over_studies_and_breaks_ties_by_failures_and_cost():
    ring, grid = study(HINGE), study(MINIMAX)
    # A cell that is not chosen: failures count, scores stay.
    grid.table.loc[(grid.table["loss"] == "hinge") & (grid.table["penalty"] == "none"), "value"] = np.nan
    ranking = advice.advise({"ring": ring, "grid": grid}, "plane").ranking
    assert [row.label for row in ranking.rows] == ["minimax", "hinge"]
    values = numbers(ranking)
    assert values["ranking/hinge/win_rate"] == values["ranking/minimax/win_rate"] == 0.5


def test_entries_that_a_study_lacks_are_named_and_left_out():
    wide = study(losses=("hinge", "minimax", "relativistic_paired"), quality=simulated.QUALITY)
    given = advice.advise({"ring": wide, "grid": study(seed=1)}, "plane")
    assert given.recommended == "hinge"
    assert given.sentence.endswith("Not in every study, and left out: relativistic_paired.")
    assert not any("relativistic" in key for key in numbers(given.evidence))


def test_studies_of_other_modalities_are_not_asked():
    given = advice.advise({"ring": study(HINGE), "digits": study(MINIMAX, {"modality": "image"})}, "plane")
    assert given.recommended == "hinge"
    assert {row.label for row in given.evidence.rows} == {"ring"}


@pytest.mark.parametrize(
    ("studies", "modality", "says"),
    [
        ({}, "plane", "studies must hold at least one study"),
        ({"ring": study}, "image", "unknown modality 'image'; valid: 'plane'"),
        ({"ring": study, "kl": lambda: study(changes={"compare": "penalty"})}, "plane", "the same axis"),
        ({"ring": study, "other": lambda: study(losses=("wasserstein",))}, "plane", "share at least one entry"),
    ],
)
def test_studies_that_cannot_advise_are_refused(studies, modality, says):
    with pytest.raises(ValueError, match=says):
        advice.advise({name: make() for name, make in studies.items()}, modality)


def test_the_command_prints_the_advice_its_rule_and_its_rows(tmp_path, capsys):
    workdir = simulated.save(tmp_path / "ring", *simulated.study(**PAIR, quality=HINGE, fragile={}))
    given = advise.run([str(workdir)], "plane")["loss"]
    text = capsys.readouterr().out
    assert given.sentence in text
    assert " ".join(text.split()).count(advice.RULE) == 1
    assert f"{workdir}  hinge" in text
    advise.run([str(workdir)], "plane", "markdown")
    page = capsys.readouterr().out
    assert page.startswith(f"## Choosing the loss: plane\n\n**{given.sentence}**")
    assert "| entry | win rate | failed | seconds per member |" in page


def test_each_axis_that_studies_compare_has_its_own_advice(tmp_path, capsys):
    description, *others = simulated.study(**PAIR, quality=HINGE, fragile={})
    losses = simulated.save(tmp_path / "losses", description, *others)
    penalties = simulated.save(tmp_path / "penalties", description | {"compare": "penalty"}, *others)
    given = advise.run([str(losses), str(penalties)], "plane")
    assert list(given) == ["loss", "penalty"]
    assert given["loss"] == advice.advise({str(losses): results.load(losses)}, "plane")
    assert {row.label for row in given["penalty"].ranking.rows} == {"none", "r1"}
    text = capsys.readouterr().out
    assert text.index("Choosing the loss: plane") < text.index("Choosing the penalty: plane")


@pytest.mark.parametrize(
    ("have", "modality", "says"), [([], "plane", "--have is missing"), (["runs/ring"], None, "--modality is missing")]
)
def test_a_missing_flag_is_named(have, modality, says):
    with pytest.raises(ValueError, match=says):
        advise.main(SimpleNamespace(have=have, modality=modality, format="text"))


def test_a_missing_study_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"has no study\.json"):
        advise.run([str(tmp_path / "nothing")], "plane")
