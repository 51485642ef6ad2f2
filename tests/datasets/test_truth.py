"""Label maps for evaluation: the same by whichever decoder, and by whichever loader the user has put in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmseg.datasets import build_dataset
from mmseg.datasets.pipelines import LoadAnnotations
from tests.helpers_data import kitti_config, same, write_pairs, write_palette_mask


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_pairs(tmp_path, count=4)


@pytest.mark.parametrize("changes", [{}, {"classes": ["car", "road"]}, {"reduce_zero_label": True}], ids=str)
@pytest.mark.parametrize("backend", ["pillow", "cv2"])
def test_masks_are_the_same_by_whichever_decoder(
    root: Path, changes: dict[str, Any], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32) % 19
    if backend == "pillow":
        write_palette_mask(root / "ann_dir/000001_10.png", mask)
    loader = dict(imdecode_backend=backend)
    fast, exact = (
        build_dataset(kitti_config(root, exact_pipeline=e, gt_seg_map_loader_cfg=loader, **changes))
        for e in (False, True)
    )
    for i in range(4):
        maps = [data.get_gt_seg_map_by_idx(i) for data in (fast, exact)]
        assert same(maps[0], maps[1]) and maps[0].flags.writeable
    if backend == "pillow" and not changes:
        assert np.array_equal(fast.get_gt_seg_map_by_idx(1), mask)
    monkeypatch.setattr("mmseg.datasets.pipelines.loading.read_mask", lambda path, backend: mask * 0)
    assert not same(fast.get_gt_seg_map_by_idx(2), exact.get_gt_seg_map_by_idx(2))


def test_a_loader_of_the_users_own_is_called(root: Path) -> None:
    class Shifted(LoadAnnotations):
        def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
            results = super().__call__(results)
            results["gt_semantic_seg"] = 18 - results["gt_semantic_seg"]
            return results

    data = build_dataset(kitti_config(root))
    before = data.get_gt_seg_map_by_idx(0)
    data.gt_seg_map_loader = Shifted()
    assert np.array_equal(data.get_gt_seg_map_by_idx(0), 18 - before)
