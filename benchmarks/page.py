"""Write the tables and the chart of docs/benchmarks.md from the recorded JSON lines."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from textwrap import shorten
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.harness.report import DEFAULT_RECORD, Mark, Table
from benchmarks.harness.timing import ROOT
from mmseg.utils.errors import UserError, run_tool

PAGE = ROOT / "docs" / "benchmarks.md"
CHART = ROOT / "docs" / "images" / "benchmarks.png"
# A figure that was not measured again within this time of the newest one is dropped from the page.
KEPT = timedelta(hours=24)
# Told apart by the colour-blind too (Okabe and Ito, "Color Universal Design", 2008).
REACHED, MISSED, GOAL = "#0072b2", "#e69f00", "#000000"

Entry = Mapping[str, Any]
Row = Mapping[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", default=str(DEFAULT_RECORD), help="the JSON lines")
    parser.add_argument("--page", default=str(PAGE), help="the page whose tables are replaced")
    parser.add_argument("--chart", default=str(CHART), help="the picture")
    parser.add_argument("--quick", action="store_true", help="take entries of --quick too, to try it out")
    args = parser.parse_args()
    found = newest(read_entries(args.record, quick=args.quick))
    page = Path(args.page)
    text = page.read_text(encoding="utf-8")
    for name, (entry, rows) in found.items():
        text = replace(text, name, section(entry, rows), page)
    text = replace(text, "machines", machines([entry for entry, _ in found.values()]), page)
    text = replace(text, "marks", verdicts({name: rows for name, (_, rows) in found.items()}), page)
    page.write_text(text, encoding="utf-8")
    draw({name: rows for name, (_, rows) in found.items()}, Path(args.chart))
    print(f"the tables of {', '.join(found)} are in {page}, the chart is {args.chart}")


def read_entries(path: str | Path, *, quick: bool = False) -> list[Entry]:
    """The entries of a record, oldest first; those of ``--quick`` only where they are asked for.

    Raises:
        UserError: there is no such file, a line is no entry, or none is left.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{file} is not there; run a script such as `python benchmarks/bench_eval.py` first")
    entries = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
            kept = entry["rows"] is not None and (quick or not entry.get("quick"))
            datetime.fromisoformat(entry["date"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file}, line {number}: no entry of a benchmark ({error}); delete it") from error
        if kept:
            entries.append(entry)
    if not entries:
        raise UserError(f"{file} has no entry but those of --quick; run a script without it")
    return sorted(entries, key=lambda entry: entry["date"])


def newest(entries: Sequence[Entry]) -> dict[str, tuple[Entry, list[Row]]]:
    """Question → its newest entry, and the newest rows of each of its cases on that machine.

    A script may have run in parts, each with some of the cases. What ran on a GPU is a question of its own,
    ``NAME-gpu``.
    """
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        on_gpu = str(entry.get("device", "cpu")).startswith("cuda")
        found.setdefault(entry["question"] + "-gpu" * on_gpu, []).append(entry)
    result = {}
    for name, own in found.items():
        last = own[-1]
        cases: dict[tuple[str, ...], list[Row]] = {}
        for entry in own:
            same = all(entry["machine"].get(k) == last["machine"].get(k) for k in ("cpu", "cores", "gpus"))
            age = datetime.fromisoformat(last["date"]) - datetime.fromisoformat(entry["date"])
            if not same or age > KEPT:
                continue
            new: dict[tuple[str, ...], list[Row]] = {}
            for row in entry["rows"]:
                figure = row["name"] if "value" in row else ""
                new.setdefault((row["table"], *row["case"].values(), figure), []).append(row)
            cases |= new
        result[name] = (last, [row for rows in cases.values() for row in rows])
    return result


def section(entry: Entry, rows: Sequence[Row]) -> str:
    """The tables of one question as Markdown, and when it was measured."""
    parts = []
    for title in dict.fromkeys(row["table"] for row in rows):
        own = [row for row in rows if row["table"] == title]
        table = Table(title, list(own[0]["case"]))
        table.rows = [dict(row) for row in own]
        head, body = table.cells()
        head = [name or "who" for name in head]
        lines = [f"**{title[:1].upper()}{title[1:]}**", "", _line(head), _line(["---"] * len(head))]
        parts.append("\n".join([*lines, *(_line(line) for line in body)]))
    threads = entry["machine"].get("threads")
    parts.append(f"Measured {entry['date'][:10]} with {threads} thread{'s' * (threads != 1)}.")
    return "\n\n".join(parts)


def machines(entries: Sequence[Entry]) -> str:
    """Each machine once, with its versions, as Markdown."""
    lines = []
    for entry in entries:
        m = entry["machine"]
        gpus = f"; {', '.join(m['gpus'])}" if m["gpus"] else "; no GPU"
        memory = f", {m['memory_gb']:g} GB" if m.get("memory_gb") else ""
        names = ", ".join(f"{name} {version}" for name, version in entry["versions"].items())
        line = f"* {m['cpu']}, {m['cores']} cores{memory}, {m['system']}{gpus}. {names}."
        lines.append(line)
    return "\n".join(dict.fromkeys(lines))


def verdicts(questions: Mapping[str, Sequence[Row]]) -> str:
    """How many marks are reached, and which are not, as Markdown."""
    marks = [(row, Mark.of(m)) for rows in questions.values() for row in rows for m in row.get("marks") or ()]
    missed = [(row, mark) for row, mark in marks if not mark.reached]
    text = f"{len(marks) - len(missed)} of {len(marks)} marks are reached."
    if not missed:
        return text
    lines = [f"* {_case(row)}: {mark}" for row, mark in missed]
    return "\n".join([f"{text} Those that are not:", "", *lines])


def replace(text: str, name: str, new: str, page: Path) -> str:
    """``text`` with what stands between the markers of ``name`` replaced.

    Raises:
        UserError: the page has no such markers.
    """
    begin, end = f"<!-- benchmarks:{name} -->", f"<!-- /benchmarks:{name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise UserError(f"{page} has no place for `{name}`; write the lines {begin} and {end} into it")
    before, rest = text.split(begin)
    return f"{before}{begin}\n{new}\n{end}{rest.split(end)[1]}"


def draw(questions: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Draw how many times as fast as another we are, one bar per mark, and the mark as a line across it."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    bars = [
        (_label(row, mark), mark)
        for rows in questions.values()
        for row in rows
        for mark in map(Mark.of, row.get("marks") or ())
        if mark.against
    ]
    figure, axes = plt.subplots(figsize=(10, 1.4 + 0.46 * max(1, len(bars))), layout="constrained")
    top = max([2.0, *(max(mark.value, mark.goal) for _, mark in bars)])
    for y, (_, mark) in enumerate(bars):
        colour = REACHED if mark.reached else MISSED
        axes.barh(y, mark.value - 1, left=1, height=0.62, color=colour, zorder=2)
        axes.plot([mark.goal] * 2, [y - 0.42, y + 0.42], color=GOAL, linewidth=2.5, zorder=3)
        x = max(mark.value, mark.goal) * (top / 0.5) ** 0.008
        axes.text(x, y, f" {mark.value:.2f}x", va="center", fontsize=9, zorder=4)
    axes.axvline(1, color="#777777", linewidth=1, zorder=1)
    axes.set_yticks(range(len(bars)), [label for label, _ in bars], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    low = min([0.8, *(0.8 * mark.value for _, mark in bars)])
    axes.set_xlim(low, top * 1.5)
    ticks = [t for t in (0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 100) if low <= t <= top * 1.5]
    axes.set_xticks(ticks, [f"{t:g}x" for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel("times as fast as the other (1x: equally fast; to the right we are faster)")
    axes.grid(axis="x", color="#dddddd", linewidth=0.8, zorder=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    handles = [
        Patch(color=REACHED, label="mark reached"),
        Patch(color=MISSED, label="mark missed"),
        Line2D([], [], color=GOAL, linewidth=2.5, label="mark"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _label(row: Row, mark: Mark) -> str:
    """Two lines: the question; the case, and who the other is."""
    cells = ", ".join(cell for cell in (*row["case"].values(), row["name"]) if cell)
    return f"{shorten(row['table'], 75, placeholder=' ...')}\n{cells} against {mark.against}"


def _case(row: Row) -> str:
    cells = [cell for cell in row["case"].values() if cell]
    what = row["name"] if "value" in row else ""
    return ": ".join(filter(None, (row["table"], ", ".join(filter(None, (*cells, what))))))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(re.sub(r"\|", "\\|", cell) for cell in cells) + " |"


if __name__ == "__main__":
    run_tool(main)
