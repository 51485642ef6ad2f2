"""Tables, marks, limits, the machine and the JSON lines."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from benchmarks.harness import limits
from benchmarks.harness.arguments import apply, bench_parser
from benchmarks.harness.limits import Limit
from benchmarks.harness.machine import cores, machine, peer, versions
from benchmarks.harness.report import Mark, Table, duration, record
from benchmarks.harness.timing import Timing
from mmseg.utils.errors import UserError


def timings() -> dict[str, Timing]:
    return {
        "a": Timing("a", (3.0, 3.0, 3.0), peaks=(50_000_000,)),
        "ours": Timing("ours", (1.0, 1.0, 1.0), peaks=(40_000_000,), notes={"loss": 2.5}),
        "b": Timing("b", (2.0, 2.0, 2.0), peaks=(60_000_000,)),
        "yardstick": Timing("yardstick", (1.5, 1.5, 1.5)),
    }


def filled() -> Table:
    table = Table("steps", ["dtype"])
    table.compare(
        timings(),
        ours="ours",
        case=["fp32"],
        mark=2.5,
        marks={"yardstick": 1.5},
        limit=Limit(0.4, "arithmetic"),
        limit_mark=2.5,
        most_s=1.0,
        less_memory=True,
    )
    return table


def test_marks_are_taken_against_the_fastest_peer() -> None:
    first, *others = filled().rows
    assert first["name"] == "ours" and first["ours"]
    assert [(row["name"], row["ratio"], row["peer"]) for row in others] == [
        ("a", 3.0, True),
        ("b", 2.0, True),
        ("yardstick", 1.5, False),
    ]
    marks = {m["text"]: (m["value"], m["reached"]) for m in first["marks"]}
    assert marks == {
        "1.5x yardstick": (1.5, True),
        "2.5x b": (2.0, False),
        "at most 2.5x the limit": (2.5, True),
        "at most 1 s": (1.0, True),
        "memory below every peer": (40.0, True),
    }
    assert {m["against"] for m in first["marks"]} == {"b", "yardstick", ""}


def test_a_missed_mark_says_by_how_much() -> None:
    assert str(Mark("5x numpy", 4.0, 5.0)) == "5x numpy: 4x, missed by 20 %"
    assert str(Mark("at most 2 s", 3.0, 2.0, at_most=True, unit=" s")) == "at most 2 s: 3 s, missed by 50 %"
    assert Mark("5x numpy", 5.0, 5.0).reached
    assert Mark.of(Mark("5x numpy", 4.0, 5.0, against="numpy").as_dict()) == Mark(
        "5x numpy", 4.0, 5.0, against="numpy"
    )


def test_peers_that_are_missing_have_no_mark() -> None:
    table = Table("steps")
    table.compare({"ours": timings()["ours"]}, ours="ours", mark=2, marks={"yardstick": 3}, less_memory=True)
    assert table.rows[0]["marks"] == []


def test_the_printed_table_has_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    table = filled()
    table.value("device waits", 12.5, "%", case=["bf16"], goal=5, at_most=True)
    table.print()
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "steps",
        "fp32",
        "1 s",
        "3.00x",
        "40 MB",
        "400 ms (arithmetic)",
        "2.5x b: 2x, missed by 20 %",
    ):
        assert part in text
    assert "bf16 device waits 12.5 % 5 %: 12.5 %, missed by 150 %" in text
    assert "\x1b" not in text  # plain where there is no terminal


def test_columns_without_figures_are_left_out() -> None:
    table = Table("sizes")
    table.value("bytes per entry", 120, "B")
    assert table.cells() == (["", "median"], [["bytes per entry", "120 B"]])


@pytest.mark.parametrize(
    ("seconds", "text"), [(123.4, "123 s"), (1.234, "1.23 s"), (0.01234, "12.3 ms"), (4.56e-7, "0.456 us")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_record_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "new" / "b.jsonl"
    for question in ("eval", "train"):
        assert record(question, filled().rows, path, quick=True) == path
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["question"] for entry in lines] == ["eval", "train"]
    entry = lines[0]
    assert entry["quick"] is True
    assert entry["rows"] == json.loads(json.dumps(filled().rows))
    assert entry["machine"]["cores"] == cores() and entry["machine"]["threads"] == torch.get_num_threads()
    assert entry["versions"]["torch"] == versions()["torch"]
    assert entry["date"][:2] == "20" and len(entry["date"]) == 19


def test_machine_names_the_cpu() -> None:
    found = machine()
    assert found["cpu"] and found["memory_gb"] > 0.1 and isinstance(found["gpus"], list)


def test_limits_are_those_of_the_slower_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "matmul_rate", lambda dtype, device, quick: 100.0)
    monkeypatch.setattr(limits, "memory_bandwidth", lambda device, quick: 10.0)
    assert limits.limit(flop=200, moved_bytes=10) == Limit(2.0, "arithmetic")
    assert limits.limit(flop=200, moved_bytes=50) == Limit(5.0, "memory")
    assert limits.limit(moved_bytes=50) == Limit(5.0, "memory")


def test_rates_are_measured_once_a_process() -> None:
    limits._rate.cache_clear()
    rates = [limits.matmul_rate(torch.float32, quick=True) for _ in range(2)]
    assert rates[0] == rates[1] > 0
    assert limits._rate.cache_info().misses == 1
    assert limits.memory_bandwidth(quick=True) == limits.memory_bandwidth(quick=True) > 0


def test_a_missing_peer_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    peer.cache_clear()
    assert [peer("no_such_peer.part") for _ in range(2)] == [None, None]
    out = capsys.readouterr().out
    assert out == "no-such-peer is not installed (pip install -e .[bench]); going on without it\n"
    assert peer("json") is json


def test_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    former = torch.get_num_threads()
    try:
        args = apply(bench_parser("What?\n\nMore.").parse_args(["--quick", "--threads", "1"]))
        assert (args.rounds, args.threads, args.out) == (1, 1, None)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(former)
    with pytest.raises(UserError, match="--rounds is 0; it must be 1 or more"):
        apply(argparse.Namespace(rounds=0, threads=1, quick=False))
