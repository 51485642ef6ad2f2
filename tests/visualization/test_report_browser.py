"""The report in a real browser: it moves by mouse, finger and keys, fetches nothing and complains of nothing.

Needs a Chromium: Debian's ``chromium`` package, or ``playwright install chromium``.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmseg.visualization.report import build_page
from tests.helpers_report import drawn_results

pytestmark = pytest.mark.slow

OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("report")
    (root / "images").mkdir()
    runs = [
        drawn_results(name, rate=rate, folder=root / "images", macs=macs)
        for name, rate, macs in (("first", 0.2, 2e9), ("second", 0.6, 8e9), ("third", 0.4, 5e9))
    ]
    paths = {name: root / f"{name}.html" for name in ("one", "three")}
    for path, chosen in zip(paths.values(), (runs[1:2], runs), strict=True):
        path.write_text(build_page(chosen, images=2, rounds=50), encoding="utf-8")
    return paths


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    installed = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed, args=OPTIONS)
        yield browser
        browser.close()


class Visit:
    """A page that is open, with everything that went wrong or over the network."""

    def __init__(self, chromium: Any, path: Path, **context: Any) -> None:
        self.context = chromium.new_context(**{"viewport": {"width": 1200, "height": 900}, **context})
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def column(self, table: str, number: int) -> list[str]:
        """Texts of a column (from 1) of the rows that are seen."""
        return self.page.locator(f"{table} tbody tr:visible > :nth-child({number})").all_inner_texts()


@pytest.fixture
def visit(chromium, files) -> Iterator[Any]:
    visits = []

    def start(name: str, **context: Any) -> Visit:
        visits.append(Visit(chromium, files[name], **context))
        return visits[-1]

    yield start
    for one in visits:
        one.context.close()
        assert one.said == [], "the console is not empty"
        assert [url for url in one.requests if not url.startswith(("file:", "data:"))] == []


def test_tables_sort_both_ways(visit):
    seen = visit("one")
    header = seen.page.locator("#r0-classes th", has_text="IoU %")
    header.get_by_role("button").click()
    down = [float(t) for t in seen.column("#r0-classes table", 3)]
    assert down == sorted(down, reverse=True) and header.get_attribute("aria-sort") == "descending"
    header.get_by_role("button").press("Enter")
    up = [float(t) for t in seen.column("#r0-classes table", 3)]
    assert up == sorted(up) and up != down and header.get_attribute("aria-sort") == "ascending"


def test_the_divider_moves_by_mouse_and_keys(visit):
    page = visit("one").page
    divider = page.locator("#r0-images [role=slider]")
    divider.scroll_into_view_if_needed()
    box = page.locator("#r0-images .stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 20, steps=4)
    page.mouse.up()
    assert abs(int(divider.get_attribute("aria-valuenow")) - 80) <= 1
    keys = {"ArrowLeft": 78, "Shift+ArrowLeft": 68, "PageUp": 78, "Home": 0, "End": 100}
    for key, expected in keys.items():
        divider.press(key)
        assert abs(int(divider.get_attribute("aria-valuenow")) - expected) <= 1, key
    clip = page.locator("#r0-images .pane.right").evaluate("e => getComputedStyle(e).clipPath")
    assert re.match(r"inset\(0(px)? 0(px)? 0(px)? 100%\)", clip), clip


def test_layers_lie_exactly_over_the_picture(visit):
    page = visit("one").page
    boxes = [page.locator(f"#r0-images .pane.left {part}").bounding_box() for part in (".base", ".over")]
    assert boxes[0] == boxes[1] == page.locator("#r0-images .stage").bounding_box()
    images = page.locator("#r0-images .pane img")
    assert set(images.evaluate_all("list => list.map(e => getComputedStyle(e).padding)")) == {"0px"}


def test_sides_and_images_are_chosen(visit):
    page = visit("one").page
    viewer = page.locator("#r0-viewer")
    title = viewer.locator("h3").inner_text()
    assert title.startswith("frame 08.png")
    viewer.get_by_label("Right side").select_option("Errors")
    assert viewer.locator(".tag.right").inner_text() == "Errors"
    assert viewer.locator(".pane.right").evaluate("e => e.classList.contains('dim')")
    viewer.get_by_role("button", name="next image").click()
    assert viewer.locator("h3").inner_text() != title
    divider = viewer.get_by_role("slider", name="Divider")
    divider.press("p")
    assert viewer.locator("h3").inner_text() == title
    divider.press("1")
    assert viewer.locator(".tag.right").inner_text() == "Picture"
    assert viewer.locator(".pane.right .over").is_hidden()
    viewer.locator(".strip button").last.click()
    assert viewer.locator("h3").inner_text().startswith("frame 00.png")
    assert viewer.locator(".strip [aria-pressed=true]").count() == 1


def test_what_is_pointed_at_is_named(visit):
    page = visit("one").page
    stage = page.locator("#r0-images .stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.99 * box["height"])
    assert "truth: road & <path>" in page.locator("#r0-images .readout").inner_text()
    page.mouse.move(box["x"] + 0.02 * box["width"], box["y"] + 0.02 * box["height"])
    assert "truth: ignored" in page.locator("#r0-images .readout").inner_text()


def test_an_image_of_the_list_is_shown_in_the_viewer(visit):
    page = visit("one").page
    page.locator("#r0-images summary").click()
    page.get_by_role("link", name="frame 00.png").click()
    assert page.locator("#r0-viewer h3").inner_text().startswith("frame 00.png")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "slider"


def test_the_matrix_changes_its_percent(visit):
    page = visit("one").page
    tables = [page.locator(f"#r0-norm-{kind} table") for kind in ("truth", "guess")]
    assert tables[0].is_visible() and tables[1].is_hidden()
    page.get_by_label("the predicted class (precision)").check()
    assert tables[0].is_hidden() and tables[1].is_visible()


def test_hints_appear(visit):
    page = visit("one").page
    dot = page.locator("#r0-curves g[data-tip]").first
    dot.scroll_into_view_if_needed()
    dot.hover()
    assert "at iteration" in page.locator("#tip").inner_text()


def test_any_two_runs_are_compared(visit):
    page = visit("three").page
    assert page.locator(".pair:visible").count() == 1
    page.get_by_label("Compare").select_option("second against third")
    assert page.locator("#pair-1-2").is_visible() and page.locator("#pair-0-1").is_hidden()
    assert "third is better than second" in page.locator("#pair-1-2 .verdict").inner_text()


def test_one_run_in_detail(visit):
    page = visit("three").page
    assert page.locator("article.run:visible").count() == 1
    page.get_by_label("One run in detail").select_option("second")
    assert page.locator("#run-1").is_visible() and page.locator("#run-0").is_hidden()
    page.locator("#ranking").get_by_role("link", name="third").click()
    assert page.locator("#run-2").is_visible() and page.locator("#run-1").is_hidden()
    sides = [page.locator(f"#disagree-viewer .tag.{side}").inner_text() for side in ("left", "right")]
    assert sides == ["first", "second"]


@pytest.mark.parametrize("name", ["one", "three"])
def test_a_phone_shows_everything_by_touch(visit, name):
    page = visit(name, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.locator("main p, main td, main th, main label, main summary").evaluate_all(
        "list => list.filter(e => e.checkVisibility()).map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert len(sizes) > 100 and min(sizes) >= 11
    stage = page.locator("article:visible .stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.touchscreen.tap(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    assert abs(int(stage.get_by_role("slider").get_attribute("aria-valuenow")) - 25) <= 1
    chart = page.locator("#r0-curves svg").first
    scale = chart.evaluate("e => e.getBoundingClientRect().width / e.viewBox.baseVal.width")
    text = chart.locator("text").first.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
    assert scale * text >= 10.5


def test_dark_and_light(visit):
    luminance = "c => { const [r, g, b] = c.match(/\\d+/g).map(Number); return (r + g + b) / 765; }"
    colours = {}
    for scheme in ("light", "dark"):
        page = visit("one", color_scheme=scheme).page
        for key in ("backgroundColor", "color"):
            found = page.evaluate(f"getComputedStyle(document.body).{key}")
            colours[scheme, key] = page.evaluate(f"({luminance})({found!r})")
    assert colours["light", "backgroundColor"] > 0.9 > 0.2 > colours["light", "color"]
    assert colours["dark", "backgroundColor"] < 0.1 < 0.8 < colours["dark", "color"]


def test_without_script_everything_is_there(visit):
    page = visit("three", java_script_enabled=False).page
    assert page.locator(".shot").first.is_visible() and page.locator("article.run").nth(2).is_visible()
    assert page.locator(".pair").nth(2).is_visible() and page.locator("#r0-norm-guess").is_visible()


def test_the_keyboard_alone_reaches_everything(visit):
    page = visit("one").page
    reached = set()
    for _ in range(200):
        page.keyboard.press("Tab")
        focus = "document.activeElement"
        reached.add(page.evaluate(f"[{focus}.tagName, {focus}.getAttribute('role')].join()"))
    assert {"A,", "BUTTON,", "DIV,slider", "SELECT,", "INPUT,", "SUMMARY,", "DIV,region"} <= reached
