"""docs/benchmarks.md is written from the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from benchmarks import page
from benchmarks.harness.report import Table, record
from benchmarks.harness.timing import Timing
from mmseg.utils.errors import UserError

NAMES = ["marks", "machines", "eval"]


def rows(ours: float, case: str = "19", title: str = "counting") -> list[dict[str, Any]]:
    table = Table(title, ["classes"])
    found = {"ours": Timing("ours", (ours,)), "peer | one": Timing("peer | one", (1.0,))}
    table.compare(found, ours="ours", case=[case], mark=5)
    return table.rows


def blank(path: Path) -> Path:
    path.write_text(
        "# Head\n" + "\n".join(f"<!-- benchmarks:{n} -->\n<!-- /benchmarks:{n} -->" for n in NAMES)
    )
    return path


def dated(path: Path, *dates: str) -> Path:
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps({**e, "date": date}) for e, date in zip(entries, dates, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write(record_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *args: str) -> str:
    path = folder / "page.md"
    argv = ["page.py", "--record", record_file, "--page", path, "--chart", folder / "img" / "c.png", *args]
    monkeypatch.setattr("sys.argv", list(map(str, argv)))
    page.main()
    return path.read_text()


def test_page_and_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blank(tmp_path / "page.md")
    file = record("eval", rows(0.1) + rows(0.5, "150"), tmp_path / "r.jsonl")
    text = write(file, tmp_path, monkeypatch)
    assert "| classes | who | median | ours is faster by | mark |" in text
    assert "| 19 | ours | 100 ms |  | 5x peer \\| one: 10x, reached |" in text
    assert "| 150 | peer \\| one | 1 s | 2.00x |  |" in text
    assert "1 of 2 marks are reached. Those that are not:\n\n* counting: 150: 5x peer | one: 2x" in text
    assert "* " in text and "torch " in text and "Measured 20" in text
    assert write(file, tmp_path, monkeypatch) == text  # again: the same
    picture = cv2.imread(str(tmp_path / "img" / "c.png"))
    colours = {tuple(c) for c in picture.reshape(-1, 3).tolist()}
    assert {(0xB2, 0x72, 0x00), (0x00, 0x9F, 0xE6)} <= colours  # BGR: one bar reached, one missed


def test_the_newest_row_of_each_case_counts(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    for found in (rows(0.9, title="old name"), rows(0.1) + rows(0.2, "150"), rows(0.4)):
        record("eval", found, file)
    dated(file, "2030-01-01 10:00:00", "2030-01-03 10:00:00", "2030-01-03 11:00:00")
    _, kept = page.newest(page.read_entries(file))["eval"]
    ours = [(row["table"], row["case"]["classes"], row["median_s"]) for row in kept if row["ours"]]
    assert ours == [("counting", "19", 0.4), ("counting", "150", 0.2)]


def test_a_gpu_is_a_question_of_its_own_and_machines_do_not_mix(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    record("eval", rows(0.1), file, device="cuda:0")
    record("eval", rows(0.2, "7"), file)
    record("eval", rows(0.3), file)
    lines = file.read_text().splitlines()
    other = json.loads(lines[1])
    other["machine"]["cpu"] = "another"
    file.write_text("\n".join([lines[0], json.dumps(other), lines[2]]))
    found = page.newest(page.read_entries(file))
    assert sorted(found) == ["eval", "eval-gpu"]
    assert {row["case"]["classes"] for row in found["eval"][1]} == {"19"}


def test_quick_entries_stay_out(tmp_path: Path) -> None:
    file = record("eval", rows(0.1), tmp_path / "r.jsonl", quick=True)
    assert len(page.read_entries(file, quick=True)) == 1
    with pytest.raises(UserError, match="has no entry but those of --quick"):
        page.read_entries(file)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there; run a script"):
        page.read_entries(tmp_path / "none.jsonl")
    (tmp_path / "bad.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="line 1: no entry of a benchmark"):
        page.read_entries(tmp_path / "bad.jsonl")
    with pytest.raises(UserError, match="has no place for `speed`"):
        page.replace("text", "speed", "new", tmp_path)


def test_the_page_has_a_place_for_every_question() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    on_gpu = ["train-gpu", "infer-gpu", "eval-gpu", "scaling-gpu"]
    names = ["pipeline", "train", "infer", "eval", "startup", "scaling", *on_gpu]
    for name in (*names, "marks", "machines"):
        assert "put here" in page.replace(text, name, "put here", page.PAGE)
