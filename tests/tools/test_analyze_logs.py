"""tools/analyze_logs.py as users call it."""

from __future__ import annotations

import json

import cv2
import pytest

from mmseg.apis.analyze_logs import run_names
from tests.helpers_looking import refusal
from tests.helpers_run import run_tool_here as run


def write_run(folder, name="1.log.json", best=0.4, old=False):
    """A log of 100 iterations with two evaluations; ``old`` in 0.25's form."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [{"seed": 0}]
    for i in (25, 50, 75, 100):
        extra = {} if old else {"inner_iter": i}
        lines.append(
            dict(mode="train", epoch=1, iter=i, lr=1e-3, time=5.0 if i == 25 else 0.5, data_time=0.1)
            | {"decode.loss_ce": 100 / i, "loss": 120 / i}
            | extra
        )
        if i % 50 == 0:
            score = best if i == 50 else best - 0.1
            lines.append(dict(mode="val", epoch=1, iter=7 if old else i, mIoU=score, aAcc=0.9) | extra)
    (folder / name).write_text("\n".join(map(json.dumps, lines)))
    return folder


def cells(out: str) -> list[list[str]]:
    return [
        [c.strip() for c in line.strip("|").split("|")] for line in out.splitlines() if line.startswith("|")
    ]


def test_two_runs_in_one_chart(tmp_path, capsys, monkeypatch):
    a, b = write_run(tmp_path / "a", best=0.4), write_run(tmp_path / "b", best=0.6, old=True)
    out = tmp_path / "curves.png"
    keys = ["mIoU", "decode.loss_ce", "lr"]
    run(
        "analyze_logs",
        a,
        b / "1.log.json",
        "--keys",
        *keys,
        "--out",
        out,
        "--smooth",
        0.5,
        monkeypatch=monkeypatch,
    )
    printed = capsys.readouterr().out
    header, *rows = cells(printed)
    assert header[:4] == ["run", "iterations", "s/iter", "data s/iter"]
    assert header[4:] == ["mIoU (highest)", "decode.loss_ce (lowest)", "lr (last)"]
    assert rows[0] == ["a", "100", "0.5", "0.1", "0.4 at 50", "1 at 100", "0.001"]
    assert rows[1] == ["b", "100", "0.5", "0.1", "0.6 at 50", "1 at 100", "0.001"]
    assert f"the curves are in {out}" in printed and cv2.imread(str(out)) is not None


def test_without_out_nothing_is_drawn(tmp_path, capsys, monkeypatch):
    run("analyze_logs", write_run(tmp_path / "a"), monkeypatch=monkeypatch)
    (header, row) = cells(capsys.readouterr().out)
    assert header[4:] == ["loss (lowest)", "mIoU (highest)", "lr (last)"] and row[0] == "a"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["1.log.json"]


def test_a_key_of_one_run_only(tmp_path, capsys, monkeypatch):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    text = (b / "1.log.json").read_text().replace("decode.loss_ce", "decode.loss_dice")
    (b / "1.log.json").write_text(text)
    run(
        "analyze_logs",
        a,
        b,
        "--keys",
        "decode.loss_dice",
        "--out",
        tmp_path / "c.svg",
        monkeypatch=monkeypatch,
    )
    rows = cells(capsys.readouterr().out)
    assert [row[-1] for row in rows[1:]] == ["-", "1 at 100"] and (tmp_path / "c.svg").stat().st_size > 1000


def test_names_of_runs(tmp_path):
    paths = [str(write_run(tmp_path / name)) for name in ("x/run", "y/run")]
    assert run_names(paths, None, ["loss"]) == ["x/run", "y/run"]
    one = [f"{paths[0]}/1.log.json", f"{paths[0]}/2.log.json"]
    assert run_names(one, None, ["loss"]) == ["1.log.json", "2.log.json"]
    assert run_names(one[:1], None, ["loss"]) == ["run"]
    assert run_names(paths, ["A", "B"], ["loss"]) == ["A", "B"]
    assert run_names(paths, ["A loss", "A lr", "B loss", "B lr"], ["loss", "lr"]) == ["A loss", "B loss"]
    assert run_names([paths[0]] * 2, None, ["loss"]) == ["x/run (1)", "x/run (2)"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["missing"], "missing does not exist"),
        (["a", "--keys", "mIuO"], "no log has it; did you mean `mIoU`?"),
        (["empty"], "holds no log: neither"),
        (["a", "--legend", "x", "y"], "--legend has 2 names for 1 log; give"),
        (["a", "--out", "curves.txt"], "is no image format"),
        (["a", "--out", "empty"], "cannot draw empty: it is a folder; give the name of a file in it"),
        (["noise.json"], "holds no record of a run"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, args, message):
    write_run(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise.json").write_bytes(bytes(range(256)))
    monkeypatch.chdir(tmp_path)
    assert message in refusal("analyze_logs", *args, monkeypatch=monkeypatch, capsys=capsys)
