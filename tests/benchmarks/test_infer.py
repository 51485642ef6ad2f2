"""``bench_infer.py``: its picture, its weights, its contestants, and a quick run."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch

from benchmarks import bench_infer, infer_cases
from tests.helpers_bench import run_quick


def test_the_drawn_picture_is_like_a_kitti_frame(tmp_path: Path) -> None:
    infer_cases.street_picture(tmp_path / "a.png")
    assert cv2.imread(str(tmp_path / "a.png")).shape == (375, 1242, 3)
    assert 600_000 < (tmp_path / "a.png").stat().st_size < 1_000_000


def test_all_processes_have_the_same_model() -> None:
    first, second = (infer_cases.our_model("SegFormer-B0", exact).state_dict() for exact in (False, True))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert first["decode_head.conv_seg.weight"].std() > 0.01


def test_ours_keeps_memory_and_the_others_only_where_all_do() -> None:
    for setting, theirs in (("as installed", False), ("same allocator", True)):
        commands = bench_infer.contestants("prepare", ["ours", "yardstick"], setting, ["--threads", 1], {})
        assert "--keep-memory" in commands["ours"]
        assert ("--keep-memory" in commands["yardstick"]) is theirs


@pytest.mark.slow
def test_bench_infer(tmp_path: Path) -> None:
    entry = run_quick("bench_infer", tmp_path)
    assert entry["question"] == "infer"
    names = {row["name"] for row in entry["rows"]}
    assert {"ours", "yardstick", "transformers", "smp", "label maps agree"} <= names
    (agreement,) = (row["value"] for row in entry["rows"] if row["name"] == "label maps agree")
    assert agreement >= bench_infer.LEAST_AGREEMENT
