"""Tables for the reader and JSON lines for the record."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.limits import Limit
from benchmarks.harness.machine import machine, now, versions
from benchmarks.harness.timing import ROOT, Timing, fastest, ratio

DEFAULT_RECORD = ROOT / "work_dirs" / "benchmarks.jsonl"
_HEAD = ("", "median", "spread", "ours is faster by", "peak memory", "hardware limit", "mark")


@dataclass(frozen=True)
class Mark:
    """What should be reached.

    Attributes:
        text: What it says, such as ``1.4x the fastest peer``.
        value: What was measured.
        goal: What it should be.
        at_most: The value should be at most the goal, not at least.
        unit: Of both: ``x``, ``s``, ...
        against: The contestant that a ratio is taken to.
    """

    text: str
    value: float
    goal: float
    at_most: bool = False
    unit: str = "x"
    against: str = ""

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> Mark:
        """From a record, which holds more."""
        return cls(**{k: saved[k] for k in cls.__dataclass_fields__ if k in saved})

    @property
    def reached(self) -> bool:
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    @property
    def missed_by(self) -> float:
        """How much is missing as a share of the goal, 0 where it is reached."""
        return 0.0 if self.reached else abs(self.value - self.goal) / self.goal

    def __str__(self) -> str:
        verdict = "reached" if self.reached else f"missed by {100 * self.missed_by:.0f} %"
        return f"{self.text}: {self.value:.3g}{self.unit}, {verdict}"

    def as_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "reached": self.reached, "missed_by": self.missed_by}


class Table:
    """One table of a question: a row per contestant and case; ``rows`` is what goes on record.

    Args:
        title: What is measured, with the unit of work ("one training sample, 1242x375 PNG").
        columns: Names of the leading columns that tell the cases apart (model, size, dtype); may be empty.
    """

    def __init__(self, title: str, columns: Sequence[str] = ()) -> None:
        self.title, self.columns = title, tuple(columns)
        self.rows: list[dict[str, Any]] = []

    def compare(
        self,
        timings: Mapping[str, Timing],
        *,
        ours: str,
        case: Sequence[Any] = (),
        mark: float | None = None,
        marks: Mapping[str, float] | None = None,
        peers: Sequence[str] | None = None,
        limit: Limit | None = None,
        limit_mark: float | None = None,
        most_s: float | None = None,
        less_memory: bool = False,
    ) -> None:
        """Add the contestants of one case, ours first.

        Args:
            timings: Of all contestants.
            ours: Which of them is ours.
            case: Values of the leading columns.
            mark: How many times as fast as the fastest of ``peers`` ours should be.
            marks: Contestant → how many times as fast ours should be (``{"yardstick": 2}``).
            peers: Names of the peers; by default everyone but ours and those in ``marks``.
            limit: What the hardware allows.
            limit_mark: Ours should take at most this many times ``limit``.
            most_s: Ours should take at most this many seconds.
            less_memory: Ours should hold less memory at its peak than every peer.
        """
        marks = dict(marks or {})
        peers = [n for n in timings if n != ours and n not in marks] if peers is None else list(peers)
        own, found = timings[ours], []
        first = fastest(timings, peers)
        if mark is not None and first is not None:
            marks[first] = max(mark, marks.get(first, 0))
        for name, goal in marks.items():
            if name in timings:
                found.append(Mark(f"{goal:g}x {name}", ratio(timings, ours, name), goal, against=name))
        if limit is not None and limit_mark is not None:
            text = f"at most {limit_mark:g}x the limit"
            found.append(Mark(text, own.median / limit.seconds, limit_mark, at_most=True))
        if most_s is not None:
            found.append(Mark(f"at most {most_s:g} s", own.median, most_s, at_most=True, unit=" s"))
        least = min((timings[n].peak for n in peers if n in timings and timings[n].peaks), default=None)
        if less_memory and least is not None and own.peak is not None:
            text = "memory below every peer"
            found.append(Mark(text, own.peak / 1e6, least / 1e6, at_most=True, unit=" MB"))
        for name in [ours, *(n for n in timings if n != ours)]:
            timing = timings[name]
            row: dict[str, Any] = {
                "table": self.title,
                "case": dict(zip(self.columns, map(str, case), strict=True)),
                "name": name,
                "ours": name == ours,
                "peer": name in peers,
                "median_s": timing.median,
                "spread_s": timing.spread,
                "times_s": list(timing.times),
                "ratio": 1.0 if name == ours else ratio(timings, ours, name),
                "peak_bytes": timing.peak,
                "notes": timing.notes,
            }
            if name == ours:
                row["limit"] = None if limit is None else {"seconds": limit.seconds, "by": limit.by}
                row["marks"] = [m.as_dict() for m in found]
            self.rows.append(row)

    def value(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        case: Sequence[Any] = (),
        goal: float | None = None,
        at_most: bool = False,
    ) -> None:
        """Add a figure that is no time: samples per second, a share, bytes per entry.

        Args:
            name: What it is.
            value: The figure.
            unit: Of the figure, such as ``samples/s`` or ``%``.
            case: Values of the leading columns; those not given stay empty.
            goal: Its mark, if it has one.
            at_most: The figure should be at most the goal, not at least.
        """
        cells = [*map(str, case), *[""] * (len(self.columns) - len(case))]
        marks = [] if goal is None else [Mark(f"{goal:g} {unit}", value, goal, at_most, f" {unit}").as_dict()]
        self.rows.append(
            {
                "table": self.title,
                "case": dict(zip(self.columns, cells, strict=True)),
                "name": name,
                "value": value,
                "unit": unit,
                "marks": marks,
            }
        )

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows as text; columns that would be empty are left out."""
        head = [*self.columns, *_HEAD]
        body = [[*row["case"].values(), *_cells(row)] for row in self.rows]
        used = [i for i in range(len(head)) if head[i] == "" or any(line[i] for line in body)]
        return [head[i] for i in used], [[line[i] for i in used] for line in body]

    def print(self) -> None:
        """Write the table to standard output: with colours in a terminal, as plain text elsewhere."""
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        in_terminal = sys.stdout.isatty()
        console = Console(width=None if in_terminal else 170, highlight=False)
        head, body = self.cells()
        view = RichTable(title=self.title, title_justify="left", title_style="bold")
        if not in_terminal:
            view.box = None
            view.padding = (0, 2, 0, 0)
        for i, name in enumerate(head):
            is_figure = len(self.columns) < i < len(head) - (head[-1] == "mark")
            view.add_column(name, justify="right" if is_figure else "left", overflow="fold")
        for row, line in zip(self.rows, body, strict=True):
            marks = row.get("marks") or []
            style = "bold" if row.get("ours") else ""
            texts = [Text(cell, style=style) for cell in line]
            if marks and head[-1] == "mark":
                texts[-1].stylize("green" if all(m["reached"] for m in marks) else "yellow")
            view.add_row(*texts)
        console.print(view)
        console.print()


def record(
    question: str, rows: Sequence[Mapping[str, Any]], path: str | Path | None = None, **extra: Any
) -> Path:
    """Append one JSON line: the question, the machine, versions, date and ``rows``; returns its file.

    Args:
        question: Such as ``eval``: the script's name without ``bench_``.
        rows: ``Table.rows`` of every table of the script, joined.
        path: The file; ``work_dirs/benchmarks.jsonl`` by default.
        extra: What else belongs there, such as ``quick=True`` or ``limits={...}``.
    """
    file = Path(path or DEFAULT_RECORD)
    file.parent.mkdir(parents=True, exist_ok=True)
    entry = {
        "question": question,
        "date": now(),
        "machine": machine(),
        "versions": versions(),
        **extra,
        "rows": list(rows),
    }
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(entry) + "\n")
    return file


def duration(seconds: float) -> str:
    """Three digits with the unit that suits: ``1.23 ms``."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1 or unit == "us":
            return f"{_digits(seconds * factor)} {unit}"
    raise AssertionError("unreachable")


def _cells(row: Mapping[str, Any]) -> list[str]:
    marks = "; ".join(str(Mark.of(m)) for m in row.get("marks") or ())
    if "value" in row:
        return [row["name"], f"{_digits(row['value'])} {row['unit']}", "", "", "", "", marks]
    limit, peak = row.get("limit"), row.get("peak_bytes")
    held = f"{duration(limit['seconds'])} ({limit['by']})" if limit else ""
    return [
        row["name"],
        duration(row["median_s"]),
        duration(row["spread_s"]) if len(row["times_s"]) > 1 else "",
        "" if row["ours"] else f"{row['ratio']:.2f}x",
        f"{peak / 1e6:,.0f} MB" if peak else "",
        held,
        marks,
    ]


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
