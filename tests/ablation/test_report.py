"""The page of a study: every number recomputed from its files, self-contained, valid, and honest about odd studies."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from genloss_jax.ablation import measured, report, results
from genloss_jax.ablation.report import _figures
from tests.ablation import simulated
from tests.ablation.recomputed import Study

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a page holds: numbers by key, identifiers, references, and the text that stands outside of numbers."""

    def __init__(self, text):
        super().__init__()
        self.numbers, self.shown, self.ids, self.named, self.loaded, self.attributes = {}, {}, [], [], [], []
        self.text, self.blocks, self._open, self.headings, self.figures = [], {}, [], [], []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID:
            self._open.append((tag, attrs))
        self._note(tag, attrs)

    def handle_startendtag(self, tag, attrs):
        self._note(tag, dict(attrs))

    def _note(self, tag, attrs):
        self.attributes.append((tag, attrs))
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.named += [attrs[name] for name in ("aria-labelledby",) if name in attrs]
        self.loaded += [attrs[name] for name in ("src", "href") if name in attrs]
        if tag == "data":
            assert attrs["data-key"] not in self.numbers, attrs["data-key"]
            self.numbers[attrs["data-key"]] = float(attrs["value"])
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag in ("svg", "img") and "aria-hidden" not in attrs:
            self.figures.append(attrs)

    def handle_endtag(self, tag):
        opened, _ = self._open.pop()
        assert opened == tag, f"{opened} closed by {tag}"

    def handle_data(self, data):
        if not self._open:
            return
        tag, attrs = self._open[-1]
        names = {name for name, _ in self._open}
        if tag == "data":
            self.shown[attrs["data-key"]] = self.shown.get(attrs["data-key"], "") + data
        elif tag in ("script", "style"):
            self.blocks[attrs.get("id", tag)] = data
        elif not names & {"svg", "code"}:
            self.text.append(data)


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    return simulated.save(tmp_path_factory.mktemp("ring"), *simulated.study())


@pytest.fixture(scope="module")
def pages(ring):
    return report.write(results.load(ring), ring / "report")


@pytest.fixture(scope="module")
def page(pages):
    return Page(pages.html.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def study(ring):
    return Study(ring)


def test_every_number_of_the_page_is_recomputed_from_the_table(page, study):
    expected = study.numbers()
    assert set(page.numbers) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(page.numbers[key], value, rtol=1e-9, atol=1e-12, err_msg=key)


def test_every_number_that_is_drawn_is_recomputed_from_the_table(page, study):
    drawn = {name: pd.DataFrame(columns) for name, columns in json.loads(page.blocks["numbers"]).items()}
    assert set(drawn) == {"scores", "standings", "curves", "cells", "failure_shares"}
    scores = study.scores()
    np.testing.assert_allclose(drawn["scores"][list(scores)], scores, rtol=1e-12)
    means = pd.concat({step: study.scores(step).mean() for step in study.steps}).rename_axis(["step", "entry"])
    np.testing.assert_allclose(drawn["curves"].set_index(["step", "entry"])["mean"].loc[means.index], means, rtol=1e-12)
    values, failed = study.grid()
    cells = drawn["cells"].set_index(["loss", "penalty", "learning_rate"]).loc[values.index]
    np.testing.assert_allclose(cells["mean"], values.mean(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(cells["num_failed"], failed.sum(axis=1))
    broken = study.members[study.members["failed_step"].notna()]
    shares = broken.groupby(["loss", "failed_term"]).size().unstack("failed_term", fill_value=0)
    shares = shares.reindex(simulated.LOSSES, fill_value=0) / (2 * 3 * 5)
    np.testing.assert_allclose(drawn["failure_shares"].set_index("loss").loc[shares.index, shares.columns], shares)
    at_the_end = drawn["curves"][drawn["curves"]["step"] == study.steps[-1]].set_index("entry")
    standings = drawn["standings"].set_index("entry")
    for column in ("mean", "low", "high"):
        np.testing.assert_allclose(standings[column], at_the_end[column].loc[standings.index], rtol=1e-12)
        keys = [f"leaderboard/{entry}/{column}" for entry in standings.index]
        np.testing.assert_allclose(standings[column], [page.numbers[key] for key in keys], rtol=1e-12)


def test_numbers_are_shown_as_they_are(page):
    rounded = 0
    for key, shown in page.shown.items():
        value = page.numbers[key]
        if shown in ("failed", "unknown", "none") or shown.startswith("< ") or "minutes" in shown:
            continue
        text = shown.replace("−", "-").replace(",", "")
        scale = 0.01 if text.endswith(" %") else 1.0
        digits = text.removesuffix(" %")
        step = 10.0 ** -len(digits.partition(".")[2]) if "e" not in digits else abs(value) / 10
        assert abs(float(digits) * scale - value) <= 0.51 * step * scale, (key, shown, value)
        rounded += 1
    assert rounded > 150


def test_no_number_stands_outside_of_what_is_recomputed(page, study):
    leader, rows = study.verdict()
    first = next(iter(rows.values()))
    said = {f"{abs(first[name]):.3g}" for name in ("difference", "difference_low", "difference_high")}
    settings = {f"{rate:g}" for rate in study.table["learning_rate"].unique()}
    versions = {version.rpartition(".")[0] for version in study.description["versions"].values()}
    found = set(re.findall(r"\d+\.\d+", " ".join(page.text)))
    assert found <= said | settings | versions
    assert said <= found
    assert f"{leader} is the best" in " ".join(page.text)


def test_the_page_needs_nothing_from_outside(page, pages):
    text = pages.html.read_text(encoding="utf-8")
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in page.loaded)
    assert "default-src 'none'" in text
    assert not re.search(r"@import|url\((?!#)|<link|<iframe|https?://", text)
    assert pages.html.stat().st_size < 1_000_000


def test_the_page_is_valid_and_can_be_read_without_seeing_it(page):
    assert len(page.ids) == len(set(page.ids))
    references = page.named + [address[1:] for address in page.loaded if address.startswith("#")]
    assert set(references) <= set(page.ids)
    assert all(page.headings[i + 1] <= page.headings[i] + 1 for i in range(len(page.headings) - 1))
    assert page.headings.count(1) == 1
    for attrs in page.figures:
        assert attrs.get("alt") or attrs.get("aria-label") or attrs.get("aria-labelledby") in page.ids
    assert ("html", {"lang": "en"}) in page.attributes
    widths = [attrs for tag, attrs in page.attributes if tag == "meta" and attrs.get("name") == "viewport"]
    assert len(widths) == 1


def test_figures_take_the_colours_of_the_page(pages):
    text = pages.html.read_text(encoding="utf-8")
    figures = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(figures) > 20
    assert not any(re.search(r"#[0-9a-f]{6}\b", figure) for figure in figures)
    used = set(re.findall(r"var\(--([a-z0-9-]+)\)", " ".join(figures)))
    style = Page(text).blocks["style"]
    light, dark = style.split("prefers-color-scheme: dark", 1)
    assert all(f"--{name}:" in light for name in used)
    assert all(dark.count(f"--{name}:") == 2 for name in used - {"font"})


def test_each_row_can_be_reproduced(pages, ring):
    text = pages.html.read_text(encoding="utf-8")
    loaded = results.load(ring)
    for entry in simulated.LOSSES:
        cell = re.search(rf"<summary>{entry}</summary>.*?<code>(.*?)</code>", text, flags=re.DOTALL)
        commands = cell[1].split("\n")
        assert len(commands) == 5
        assert set(commands) <= set(loaded.members["command"])


def test_the_short_forms_say_the_same(pages):
    text = pages.markdown.read_text(encoding="utf-8")
    assert text.startswith("# Adversarial losses on the ring of eight modes\n\n**relativistic_paired is the best")
    assert "![Leaderboard by reverse_kl, with intervals and floor](report.png)" in text
    assert text.count("| real data |") == 2
    assert pages.png.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in pages.svg.read_text(encoding="utf-8")


def _changed(tmp_path, change=None, **kwargs):
    description, table, members, samples = simulated.study(**kwargs)
    if change:
        description, table, members, samples = change(description, table, members, samples)
    workdir = simulated.save(tmp_path, description, table, members, samples)
    return report.write(results.load(workdir), tmp_path / "report").html.read_text(encoding="utf-8")


SMALL = {"losses": ("hinge", "minimax"), "penalties": ("r1",), "rates": (1e-3,), "num_seeds": 3}
SMALL |= {"steps": (10_000, 20_000)}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (SMALL, ["No member failed", "No axis but the seed was varied"]),
        (SMALL | {"losses": ("hinge",)}, ["hinge is the only entry", "nothing to compare it with"]),
        (SMALL | {"num_seeds": 1}, ["One seed cannot tell entries apart", "only seed"]),
        (SMALL | {"quality": {"hinge": 0.06, "minimax": 0.06}}, ["The data cannot tell these apart"]),
        (SMALL | {"steps": (20_000,)}, ["There was one evaluation."]),
    ],
)
def test_a_small_study_is_reported_honestly(tmp_path, settings, says):
    text = _changed(tmp_path, **settings)
    Page(text)
    for words in says:
        assert words in text


def test_an_unfinished_study_says_so_before_all_else(tmp_path):
    def stopped(description, table, members, samples):
        done = (table["group"] == "penalty_r1") | (table["step"] <= 10_000)
        started = table["member"] != 0
        return description, table[done & started], members, samples

    text = _changed(tmp_path, stopped, **SMALL | {"penalties": ("none", "r1")})
    said = "This study is not finished: 11 of 12 members are in the table; 5 of them end before step 20,000."
    assert said in text
    assert text.index(said) < text.index('class="verdict')


def test_an_entry_that_always_fails_is_last_and_named_as_failed(tmp_path):
    def broken(description, table, members, samples):
        table.loc[table["loss"] == "minimax", "value"] = np.nan
        members.loc[members["loss"] == "minimax", ["failed_step", "failed_term"]] = [10_000, "generator/loss"]
        return description, table, members, samples

    page = Page(_changed(tmp_path, broken, **SMALL))
    assert page.numbers["leaderboard/minimax/failure_rate"] == 1.0
    hinge = [page.numbers[f"samples/hinge/{place}"] for place in ("best", "median", "worst")]
    assert page.numbers["leaderboard/minimax/mean"] == max(hinge)
    assert page.numbers["failures/minimax, penalty r1, learning_rate 0.001, generator/loss/count"] == 3
    assert {page.shown[f"samples/minimax/{place}"] for place in ("best", "median", "worst")} == {"failed"}


def test_a_study_in_which_everything_failed_is_reported(tmp_path):
    def broken(description, table, members, samples):
        table["value"] = np.nan
        return description, table, members.assign(failed_step=10_000, failed_term="generator/loss"), {}

    text = _changed(tmp_path, broken, **SMALL)
    assert "No member has a finite value" in text
    assert "No samples were kept that can be drawn." in text
    Page(text)


@pytest.mark.parametrize("metric", ["high_quality_share", "mass"])
def test_other_directions_are_ranked_by_what_is_better(tmp_path, metric):
    def by_another(description, table, members, samples):
        return description | {"metric": metric}, table, members, samples

    page = Page(_changed(tmp_path, by_another, **SMALL | {"num_seeds": 5, "quality": {"hinge": 0.01, "minimax": 2.0}}))
    assert page.numbers["leaderboard/hinge/rank"] == 1.0


def test_an_entry_without_the_metric_is_named_and_a_metric_that_some_lack_is_left_blank(tmp_path):
    def partial(description, table, members, samples):
        lacks = (table["loss"] == "wasserstein") & (table["metric"] == "reverse_kl")
        lacks |= (table["loss"] == "minimax") & (table["metric"] == "mass")
        return description | {"title": ""}, table[~lacks], members, samples

    page = Page(_changed(tmp_path, partial, **SMALL | {"losses": ("hinge", "minimax", "wasserstein")}))
    assert "Not ranked, because they have no reverse_kl at the last step: wasserstein." in page.text
    assert "other_metrics/hinge/mass" in page.numbers
    assert "other_metrics/minimax/mass" not in page.numbers


def test_names_are_text_and_never_markup(tmp_path):
    name = '<script>alert("x")</script>'

    def renamed(description, table, members, samples):
        return description | {"title": name}, table.replace("hinge", name), members.replace("hinge", name), samples

    text = _changed(tmp_path, renamed, **SMALL)
    assert name not in text
    assert "&lt;script&gt;" in text
    json.loads(Page(text).blocks["numbers"])


def test_axes_of_numbers_and_of_both_kinds_are_drawn(tmp_path):
    def numbered(description, table, members, samples):
        for frame in (table, members):
            frame["loss"] = frame["loss"].map({"hinge": 0.5, "minimax": 2})
            frame["penalty"] = frame["penalty"].map({"none": 0.0, "r1": "auto"}).astype(object)
        return description, table, members, samples

    text = _changed(tmp_path, numbered, **SMALL | {"penalties": ("none", "r1")})
    assert "reverse_kl of 0.5 over penalty" in text


def _panel(found, axis):
    return _figures.sensitivity(found, "hinge", axis, _figures.limits(found)).axes[0]


def _styles(found, axis):
    return {line.get_linestyle() for line in _panel(found, axis).lines}


@pytest.mark.parametrize(
    ("rates", "scale"), [((1e-3, 1e-2), "log"), ((1e-3, 3e-3, 1e-2), "log"), ((0.05, 0.3, 0.5, 0.7, 0.9), "linear")]
)
def test_values_stand_on_the_scale_that_spreads_them(tmp_path, rates, scale):
    found = measured.measure(results.load(simulated.save(tmp_path, *simulated.study(rates=rates))))
    assert _panel(found, "learning_rate").get_xscale() == scale


def test_a_line_joins_only_values_that_were_tried_alike(ring, tmp_path):
    """Of twelve drawn settings each rate came with its own penalty weight: a line would show the weight's jumps."""
    found = measured.measure(results.load(ring))
    assert all(_figures.is_crossed(found, loss, "learning_rate") for loss in simulated.LOSSES)
    assert "-" in _styles(found, "learning_rate")
    rates = tuple(np.geomspace(1e-5, 1e-2, 12))
    weights = dict(zip(rates, np.random.default_rng(0).uniform(0.0, 1.0, 12), strict=True))
    description, table, members, _ = simulated.study(rates=rates, penalties=("r1",))
    description["axes"] = ["loss", "learning_rate", "penalty_weight", "seed"]
    for frame in (table, members):
        frame["penalty_weight"] = frame["learning_rate"].map(weights)
    found = measured.measure(results.load(simulated.save(tmp_path, description, table, members)))
    scales = {}
    for axis in ("learning_rate", "penalty_weight"):
        assert not _figures.is_crossed(found, "hinge", axis)
        assert "-" not in _styles(found, axis)
        axes = _panel(found, axis)
        scales[axis] = axes.get_xscale()
        low, high = axes.get_xlim()
        assert 2 <= sum(low <= tick <= high for tick in axes.get_xticks()) <= 4
    assert scales == {"learning_rate": "log", "penalty_weight": "linear"}


def test_samples_of_images_are_shown(tmp_path):
    def images(description, table, members, samples):
        rng = np.random.default_rng(0)
        shown = rng.uniform(-1, 1, (len(members), 20, 8, 8, 1))
        return description, table, members, samples | {"samples": shown, "real": shown[0]}

    page = Page(_changed(tmp_path, images, **SMALL))
    pictures = [attrs["alt"] for tag, attrs in page.attributes if tag == "img"]
    assert pictures[0] == "real examples"
    assert len(pictures) == 1 + 2 * 3
    assert "16 of 20 samples of a member" in " ".join(page.text)


def test_the_page_of_many_entries_is_small_and_says_what_it_leaves_out(tmp_path):
    losses = tuple(f"relativistic_{index:02}" for index in range(24))
    text = _changed(tmp_path, losses=losses, penalties=("r1",), rates=(1e-3,), num_seeds=3, steps=(10,))
    assert len(text) < 1_000_000
    assert "the 16 best of 24 entries" in text
