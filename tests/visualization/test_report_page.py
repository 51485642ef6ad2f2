"""The page of a report, read with html.parser: what it holds, that it needs nothing else, that it is safe."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from mmseg.core.evaluation.bootstrap import bootstrap_scores, paired_bootstrap
from mmseg.core.evaluation.run_results import RunResults
from mmseg.utils.errors import UserError
from mmseg.visualization.report import build_page
from mmseg.visualization.report.html import percent, short
from mmseg.visualization.report.pictures import _spread
from mmseg.visualization.report.svg import Plot, log_ticks, ticks
from tests.helpers_report import Page, drawn_results

SECTIONS = ("short", "classes", "confusion", "images", "places", "certainty", "curves", "made")
TOGETHER = ("ranking", "efficiency", "paired", "disagree")


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    results = drawn_results("one run", images=9, folder=tmp_path_factory.mktemp("images"))
    return results, build_page([results], images=2, rounds=200)


@pytest.fixture(scope="module")
def two():
    runs = [
        drawn_results("first", rate=0.2),
        drawn_results("second <b>", rate=0.5, macs=9_000_000_000),
        drawn_results("third", rate=0.2, macs=4_000_000_000),
    ]
    return runs, build_page(runs, images=1, rounds=100)


def test_one_run_has_every_section(one):
    page = Page(one[1])
    assert page.problems == [] and page.open == []
    assert [s["id"] for s in page.all("section")] == [f"r0-{name}" for name in SECTIONS]
    links = [a["href"] for a in page.all("a")]
    ids = [e.get("id") for _, e in page.elements if e.get("id")]
    assert len(ids) == len(set(ids))
    assert [link for link in links if link[1:] not in ids] == []


def test_scores_and_intervals_stand_in_the_page(one):
    results, text = one
    page = Page(text)
    boot = bootstrap_scores(results.per_image, rounds=200)
    miou = boot.summary["mIoU"]
    assert f"{100 * miou.value:.1f}" in page.text["r0-short"]
    assert f"{100 * miou.low:.1f}\u00a0to\u00a0{100 * miou.high:.1f}" in page.text["r0-short"]
    for name, iou in zip(results.classes, boot.per_class["IoU"], strict=True):
        assert name in page.text["r0-classes"]
        assert f"{100 * iou.low:.1f} – {100 * iou.high:.1f}" in page.text["r0-classes"]
    share = results.confusion[1] / results.confusion[1].sum()
    assert f" {100 * share[1]:.0f} " in page.text["r0-confusion"]


def test_pictures_are_the_worst_and_the_best(one):
    results, text = one
    page = Page(text)
    shots = [e["id"] for e in page.all("li") if e.get("class") == "shot"]
    assert shots == ["r0-shot-8", "r0-shot-7", "r0-shot-1", "r0-shot-0"]
    layers = [e["data-layer"] for e in page.all("img") if "data-layer" in e]
    assert layers == ["picture", "truth", "prediction", "errors"] * 4
    for image in page.all("img"):
        assert image["alt"] and image["src"].startswith("data:image/"), image
    alts = [e["alt"] for e in page.all("img") if e.get("data-layer") == "truth"]
    assert "road & <path>" in alts[0] and "%" in alts[0]


def test_layers_have_the_colours_of_the_classes(one):
    from io import BytesIO

    from PIL import Image

    results, text = one
    images = {e["alt"].partition(":")[0]: e["src"] for e in Page(text).all("img")}
    source = images["True classes of frame 00.png"]
    picture = np.array(Image.open(BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGBA"))
    assert picture.shape == (40, 60, 4)
    assert (picture[:4, :6, 3] == 0).all() and picture[-1, 0, 3] == 255
    assert picture[-1, 0, :3].tolist() == results.palette[1]


def test_nothing_is_fetched_and_only_the_own_script_runs(one):
    text = one[1]
    page = Page(text)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    script = re.search(r"<script>(.*)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert len(page.all("script")) == 1
    for tag, attributes in page.elements:
        for key, value in attributes.items():
            assert not key.startswith("on"), (tag, key)
            if key in ("src", "href", "action", "srcset"):
                assert value.startswith(("data:", "#")), (tag, value)
    assert "http" not in re.sub(r"http-equiv|data:[^\"']*|\S*config_text\S*", "", text)
    assert "url(" not in text and "@import" not in text


def test_names_of_classes_and_files_are_text(two):
    page = Page(two[1])
    assert page.problems == []
    assert "second <b>" not in two[1] and "road & <path>" not in two[1]
    assert "second <b>" in page.text["ranking"]
    assert "road & <path>" in page.text["r0-classes"]


def test_several_runs_are_compared(two):
    runs, text = two
    page = Page(text)
    ids = [s["id"] for s in page.all("section")]
    assert ids[:4] == list(TOGETHER) and ids[4:] == [f"r{i}-{s}" for i in range(3) for s in SECTIONS]
    pairs = [e["id"] for e in page.all("div") if e.get("class") == "pair"]
    assert pairs == ["pair-0-1", "pair-0-2", "pair-1-2"]
    test = paired_bootstrap(runs[0].per_image, runs[1].per_image, rounds=100)
    assert f"{percent(test.summary['mIoU'].value, sign=True)} points of mIoU" in page.text["paired"]
    assert "No difference can be told" in page.text["paired"]  # of the first and the third, which are equal
    assert "is better than second <b>" in re.sub(r"\s+", " ", page.text["paired"])
    tips = [e["data-tip"] for e in page.all("g") if "GFLOPs" in (e.get("data-tip") or "")]
    assert len(tips) == 3 and any("9.00 GFLOPs" in tip and "second <b>" in tip for tip in tips)
    layers = {e["data-layer"] for e in page.all("img") if "data-layer" in e}
    assert {"prediction-0", "prediction-1", "prediction-2", "errors-2"} <= layers


def test_runs_on_other_images_are_not_tested_against_each_other():
    runs = [drawn_results("a", images=4), drawn_results("b", images=5)]
    page = Page(build_page(runs, rounds=20))
    assert "a and b were tested on different images" in page.text["paired"]
    assert "different images" in page.text["disagree"] and "a" in page.text["ranking"]


def test_scores_alone_say_what_is_missing():
    run = RunResults("bare", scores={"mIoU": 0.4321, "IoU.road": 0.9, "IoU.rare": float("nan")})
    run.missing = {"images": "the run was not evaluated", "curves": "no log"}
    page = Page(build_page([run]))
    assert "43.2" in page.text["r0-short"] and "no counts per image" in page.text["r0-short"]
    assert "90.0" in page.text["r0-classes"] and "–" in page.text["r0-classes"]
    assert "the run was not evaluated" in page.text["r0-images"] and "no log" in page.text["r0-curves"]
    for name in ("confusion", "places", "certainty"):
        assert "Not in this report" in page.text[f"r0-{name}"]


def test_findings_name_the_largest_confusion_and_what_is_never_found():
    run = drawn_results(rate=0.0)
    for counts in run.per_image:
        counts[:2, 2] = 0
    run.confusion[2] = [7, run.per_image[:, 2, 2].sum() - 7, 0]
    text = re.sub(r"\s+", " ", Page(build_page([run], rounds=10)).text["r0-short"])
    assert "car is never found" in text
    assert "The costliest confusion is car taken for road & <path>" in text


def test_a_perfect_run():
    page = Page(build_page([drawn_results(rate=0.0, images=3)], rounds=10))
    assert "There is no wrong pixel" in page.text["r0-confusion"] and page.problems == []


def test_the_size_is_kept(tmp_path):
    run = drawn_results(images=40, folder=tmp_path)
    whole = build_page([run], images=20, rounds=10)
    page = build_page([run], images=20, rounds=10, max_bytes=len(whole) // 2)
    assert len(page) < len(whole)
    shots = [e["id"] for e in Page(page).all("li") if e.get("class") == "shot"]
    left_out = int(re.search(r"(\d+) images are left out", page)[1])
    assert left_out + len(shots) == 40 and left_out > 0
    assert "r0-shot-39" in shots and "r0-shot-0" in shots  # of both ends


def test_many_classes_show_those_with_the_most_pixels():
    run = drawn_results(images=2)
    many = 60
    run.classes = [f"class {i}" for i in range(many)]
    run.palette = [[i, i, i] for i in range(many)]
    run.confusion = np.diag(np.arange(1, many + 1))
    run.per_image = np.repeat(np.arange(1, many + 1)[None, None], 3, axis=1)
    run.images, run.calibration, run.thumbnails = run.images[:1], None, {}
    page = Page(build_page([run], rounds=10))
    assert "The 40 of 60 classes" in page.text["r0-confusion"]
    assert len(page.all("th")) < 400 and "class 0" in page.text["r0-classes"]


def test_mistakes():
    with pytest.raises(UserError, match="at least one run"):
        build_page([])
    with pytest.raises(UserError, match="a report shows 0 or more images .* not -1, 2000 and 10 MB"):
        build_page([RunResults("x")], images=-1)


def test_ticks_are_round_and_few():
    assert ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert ticks(31.2, 34.9) == [32, 33, 34]
    assert ticks(5, 5) == [5]
    for low, high in ((0, 1e-4), (-3, 7), (0, 123456), (0.3, 0.31)):
        found = ticks(low, high)
        assert 2 <= len(found) <= 6 and low <= min(found) and max(found) <= high * (1 + 1e-9)
    assert log_ticks(1, 100) == [1, 2, 5, 10, 20, 50, 100]
    assert len(log_ticks(6, 16)) >= 3


def test_places_in_a_plot():
    plot = Plot((0, 10), (0, 5), "x", "y")
    assert plot.px(0) == plot.left and plot.px(10) == plot.width - plot.right
    assert plot.py(0) == plot.height - plot.bottom and plot.py(5) == plot.top
    log = Plot((1, 100), (0, 1), "x", "y", log_x=True)
    assert log.px(10) == pytest.approx((log.px(1) + log.px(100)) / 2)
    plot.line([(0, 1), (1, float("nan")), (2, 3), (3, 4)], "s0")
    assert plot.body[0].count("M") == 2
    assert 'aria-label="a &quot;quoted&quot; label"' in plot.draw('a "quoted" label')


def test_numbers_in_words():
    assert percent(0.1234) == "12.3" and percent(float("nan")) == "–" and percent(-0.01, sign=True) == "−1.0"
    assert [short(n) for n in (12, 1234, 9_600_000_000, 123_456_789)] == ["12", "1.2 k", "9.6 G", "123 M"]


def test_classes_of_an_image_are_json(one):
    shots = [e for e in Page(one[1]).all("li") if e.get("class") == "shot"]
    here = json.loads(shots[0]["data-here"])
    assert {row[0] for row in here} == {0, 1, 2} and all(0 <= row[1] <= 1 for row in here)
    assert sum(row[2] for row in here) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("scores", "anchor"), [([0.31, 0.32, 0.33, 0.52], "start"), ([0.31, 0.53, 0.54], "end")]
)
def test_label_of_the_median_stands_above_the_bars_and_inside(scores, anchor):
    facts = SimpleNamespace(image_iou=np.array(scores), order=list(range(len(scores))))
    drawn = _spread(facts)
    x, y, side = re.search(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)"[^>]*>median', drawn).groups()
    highest = min(float(top) for top in re.findall(r'<rect class="bin"[^>]* y="([\d.]+)"', drawn))
    assert side == anchor and float(y) < highest and 46 < float(x) < 388
