"""bench_scaling.py with --quick."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import bench_scaling
from tests.helpers_bench import run_quick


@pytest.mark.parametrize("plain", [False, True])
def test_the_synthetic_data_set(plain: bool) -> None:
    data = bench_scaling.synthetic_dataset(300, plain)
    assert len(data) == 300 and isinstance(data.img_infos, list) == plain
    assert data.img_infos[213]["filename"] == "city_013/000000213_leftImg8bit.png"
    assert data[213]["img"].unique().tolist() == [213]
    assert bench_scaling.own_memory("self") > 1


@pytest.mark.slow
def test_bench_scaling(tmp_path: Path) -> None:
    entry = run_quick("bench_scaling", tmp_path)
    assert entry["question"] == "scaling"
    assert all(row["value"] >= 0 for row in entry["rows"])
    cases = {tuple(row["case"].values()) for row in entry["rows"]}
    assert {("1",), ("2",), ("64x64",), ("counting", "150"), ("10,000", "ours")} <= cases
