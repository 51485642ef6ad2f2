"""The whole page: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from mmseg.core.evaluation.run_results import RunResults
from mmseg.utils.errors import UserError

from . import compare, overview
from .certainty import certainty
from .curves import curves
from .facts import Facts, gather
from .html import esc
from .pictures import Budget, pictures
from .places import places
from .scores import class_scores, confusion

RUN_SECTIONS = (
    ("short", "In short"),
    ("classes", "Classes"),
    ("confusion", "Confusion"),
    ("images", "Images"),
    ("places", "Errors"),
    ("certainty", "Calibration"),
    ("curves", "Training"),
    ("made", "Made"),
)
COMPARE_SECTIONS = (
    ("ranking", "Ranking"),
    ("efficiency", "Cost"),
    ("paired", "Paired tests"),
    ("disagree", "Disagreement"),
)


def build_page(
    runs: Sequence[RunResults],
    *,
    title: str | None = None,
    images: int = 6,
    rounds: int = 2000,
    max_bytes: int = 10_000_000,
) -> str:
    """Make the page of one run or several.

    Args:
        runs: Their results.
        title: By default the names of the runs.
        images: How many of the worst and of the best images are shown of each run.
        rounds: Resamples of the bootstrap.
        max_bytes: Of the page; images are left out where it would be larger.

    Raises:
        UserError: there is no run, or a number is out of range.
    """
    if not runs:
        raise UserError("a report needs at least one run")
    check_numbers(images, rounds, max_bytes)
    facts = [gather(run, number, rounds) for number, run in enumerate(runs)]
    several = len(facts) > 1
    # A tenth is left for everything that is no picture; tables of 150 classes take about that.
    room = int(0.9 * max_bytes) // (len(facts) + several)
    parts = [_run(f, images, Budget(room), hidden=several and f.number > 0, several=several) for f in facts]
    together = _together(facts, rounds, Budget(room)) if several else ""
    if title is None:
        title = " · ".join(f.run.name for f in facts[:4]) + (" · …" if len(facts) > 4 else "")
    return _document(title, _top(facts, title), together + "".join(parts))


def check_numbers(images: int, rounds: int, max_bytes: int) -> None:
    """Check the numbers that :func:`build_page` takes.

    Raises:
        UserError: one is out of range.
    """
    if images < 0 or rounds < 1 or max_bytes < 1:
        raise UserError(
            "a report shows 0 or more images (--images), draws 1 or more rounds (--rounds) and has a size "
            f"above 0 (--max-mb); not {images}, {rounds} and {max_bytes / 1e6:g} MB"
        )


def _run(facts: Facts, images: int, budget: Budget, hidden: bool, several: bool) -> str:
    sections = (
        overview.head(facts),
        class_scores(facts),
        confusion(facts),
        pictures(facts, images, budget),
        places(facts),
        certainty(facts),
        curves(facts),
        overview.provenance(facts),
    )
    heading = f'<p class="run-title">{esc(facts.run.name)}</p>' if several else ""
    later = " data-later" if hidden else ""
    nav = _nav([(facts.prefix + key, name) for key, name in RUN_SECTIONS], f"Sections of {facts.run.name}")
    return f'<article class="run" id="run-{facts.number}"{later}>{heading}{nav}{"".join(sections)}</article>'


def _together(facts: Sequence[Facts], rounds: int, budget: Budget) -> str:
    sections = (
        compare.ranking(facts),
        compare.efficiency(facts),
        compare.paired(facts, rounds),
        compare.disagreements(facts, budget),
    )
    options = "".join(f'<option value="run-{f.number}">{esc(f.run.name)}</option>' for f in facts)
    picker = (
        '<p class="choice run-choice"><label>One run in detail '
        f"<select data-runs>{options}</select></label></p>"
    )
    nav = _nav(COMPARE_SECTIONS, "Sections of the comparison")
    return f'<article class="compare" id="compare">{nav}{"".join(sections)}</article>{picker}'


def _nav(entries: Sequence[tuple[str, str]], label: str) -> str:
    links = "".join(f'<li><a href="#{anchor}">{esc(name)}</a></li>' for anchor, name in entries)
    return f'<nav class="sections" aria-label="{esc(label)}"><ul>{links}</ul></nav>'


def _top(facts: Sequence[Facts], title: str) -> str:
    words = "Segmentation report" if len(facts) == 1 else f"Segmentation report of {len(facts)} runs"
    return f'<header class="top"><p>{words}</p><h1>{esc(title)}</h1></header>'


def _document(title: str, top: str, body: str) -> str:
    assets = files(__package__)
    style = assets.joinpath("page.css").read_text(encoding="utf-8")
    script = assets.joinpath("page.js").read_text(encoding="utf-8")
    # The page may run its own script and show its own pictures; a browser refuses it anything else.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{esc(title)} – segmentation report</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#content">To the content</a>\n{top}\n<main id="content">{body}</main>\n'
        f'<div id="tip" role="status" hidden></div>\n<script>{script}</script>\n</body>\n</html>\n'
    )
