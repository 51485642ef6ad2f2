"""bench_pipeline.py runs with --quick, and what it compares gives equal samples."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import bench_pipeline
from benchmarks.pipeline_data import CAMVID, KITTI, PlainSamples, Recipe, draw_images, given_images
from mmseg.utils.errors import UserError
from tests.helpers_bench import run_quick


@pytest.mark.parametrize("recipe", [KITTI, CAMVID], ids=["kitti", "camvid"])
def test_drawn_images_are_like_real_ones(recipe: Recipe, tmp_path: Path) -> None:
    images, masks = draw_images(recipe, tmp_path, count=1)
    size = Path(images[0]).stat().st_size
    least, most = (650_000, 950_000) if recipe is KITTI else (35_000, 70_000)
    assert least < size < most
    assert cv2.imread(images[0]).shape == (recipe.size[1], recipe.size[0], 3)
    mask = cv2.imread(masks[0], cv2.IMREAD_UNCHANGED)
    assert mask.shape == (recipe.size[1], recipe.size[0]) and set(np.unique(mask)) <= {*range(19), 255}


def test_the_peer_gives_samples_of_the_same_shape(tmp_path: Path) -> None:
    images, masks = draw_images(CAMVID, tmp_path, count=1)
    sample = PlainSamples(CAMVID, images, masks).draw(0, np.random.default_rng(0))
    ours = bench_pipeline.start_of(images[0], masks[0], seed=0)
    from mmseg.datasets.pipelines import Compose

    ours = Compose(CAMVID.pipeline())(ours)
    for key in ("img", "gt_semantic_seg"):
        assert sample[key].shape == ours[key].shape and sample[key].dtype == ours[key].dtype


def test_different_samples_are_no_comparison(tmp_path: Path) -> None:
    import torch

    one = {key: torch.zeros(2) for key in ("img", "gt_semantic_seg")}
    with pytest.raises(RuntimeError, match="`img` of two ways"):
        bench_pipeline.check_equal(one, {**one, "img": torch.ones(2)})


def test_folders_that_do_not_pair(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="each image needs one mask"):
        given_images(str(tmp_path), str(tmp_path), ".png")


def test_bench_pipeline(tmp_path: Path) -> None:
    entry = run_quick("bench_pipeline", tmp_path, "--recipe", "camvid", "--skip-loader")
    names = {row["name"] for row in entry["rows"]}
    assert {"ours", "yardstick", "ours, cached", "albumentations", "load the image", "Resize"} <= names


@pytest.mark.slow
def test_bench_pipeline_with_loaders(tmp_path: Path) -> None:
    entry = run_quick("bench_pipeline", tmp_path, "--recipe", "kitti")
    loaders = [row for row in entry["rows"] if "from a loader" in row["table"]]
    assert {row["case"]["workers"] for row in loaders} == {"0", "1"}
