from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmseg.datasets.pipelines import Resize, ResizeToMultiple, SegRescale
from mmseg.utils.errors import UserError


def sample(h: int, w: int, **more: Any) -> dict[str, Any]:
    return {"img": np.zeros((h, w, 3), np.uint8), "gt_semantic_seg": np.zeros((h, w), np.uint8), **more}


@pytest.mark.parametrize(
    ("shape", "scale", "expected"),
    [
        ((375, 1242), (1242, 375), (375, 1242)),
        ((375, 1242), (1280, 384), (384, 1272)),
        ((370, 1224), (1242, 375), (375, 1241)),  # int(1224 * 375 / 370 + 0.5)
        ((1242, 375), (1280, 384), (1272, 384)),  # the long edge is meant, not the width
        ((100, 100), (300, 50), (50, 50)),
        ((3, 1000), (10, 10), (1, 10)),  # never below one pixel
    ],
)
def test_keep_ratio_size(shape: tuple[int, int], scale: tuple[int, int], expected: tuple[int, int]) -> None:
    results = Resize(img_scale=scale)(sample(*shape))
    assert results["img"].shape[:2] == results["gt_semantic_seg"].shape == expected
    assert results["keep_ratio"] is True
    factor = [expected[1] / shape[1], expected[0] / shape[0]] * 2
    assert results["scale_factor"].dtype == np.float32
    assert results["scale_factor"] == pytest.approx(factor, rel=1e-6)


def test_no_keep_ratio_takes_the_scale() -> None:
    results = Resize(img_scale=[64, 40], keep_ratio=False)(sample(10, 30))
    assert results["img"].shape == (40, 64, 3)
    assert results["img_shape"] == results["pad_shape"] == (40, 64, 3)


def test_list_of_two_numbers_is_one_scale() -> None:
    assert Resize(img_scale=[1242, 375]).img_scale == [(1242, 375)]
    assert Resize(img_scale=[[621, 187], [931, 281]]).img_scale == [(621, 187), (931, 281)]


def test_given_scale_wins() -> None:
    assert Resize(keep_ratio=False)(sample(10, 20, scale=(30, 15)))["img"].shape == (15, 30, 3)
    assert Resize(img_scale=(5, 5), keep_ratio=False)(sample(10, 20, scale=(30, 15)))["img"].shape[1] == 30


def test_value_mode_draws_each_scale() -> None:
    scales = [(10, 5), (20, 10), (40, 20)]
    resize = Resize(img_scale=scales, multiscale_mode="value")
    rng = np.random.default_rng(0)
    drawn = [resize.draw_scale((5, 5, 3), rng) for _ in range(300)]
    assert {index for _, index in drawn} == {0, 1, 2}
    assert all(scales[index] == scale for scale, index in drawn)
    counts = np.bincount([index for _, index in drawn])
    assert counts.min() > 70


def test_range_mode_draws_edges_between() -> None:
    resize = Resize(img_scale=[(20, 60), (90, 30)], multiscale_mode="range")
    rng = np.random.default_rng(0)
    drawn = np.array([resize.draw_scale((5, 5, 3), rng)[0] for _ in range(3000)])
    assert drawn.min(axis=0).tolist() == [60, 20] and drawn.max(axis=0).tolist() == [90, 30]


def test_ratio_range_multiplies_scale_or_image() -> None:
    rng = np.random.default_rng(0)
    of_scale = [
        Resize(img_scale=(100, 50), ratio_range=(0.5, 2.0)).draw_scale((7, 7, 3), rng)[0] for _ in range(500)
    ]
    widths, heights = np.array(of_scale).T
    assert 50 <= widths.min() < 55 and 190 < widths.max() < 200
    assert (np.abs(heights - widths / 2) <= 1).all()
    of_image = [Resize(ratio_range=(1.0, 1.0)).draw_scale((7, 9, 3), rng)[0] for _ in range(3)]
    assert of_image == [(9, 7)] * 3


def test_min_size_lifts_the_short_edge() -> None:
    assert Resize(img_scale=(64, 32), min_size=48)(sample(10, 20))["img"].shape[:2] == (48, 96)
    assert Resize(img_scale=(64, 32), min_size=16)(sample(20, 10))["img"].shape[:2] == (64, 32)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(img_scale=(0, 5)), "img_scale"),
        (dict(img_scale="big"), "img_scale"),
        (dict(img_scale=(5, 5), multiscale_mode="any"), "multiscale_mode"),
        (dict(img_scale=[(5, 5), (6, 6)], ratio_range=(0.5, 2.0)), "ratio_range"),
        (dict(ratio_range=(2.0, 0.5)), "ratio_range"),
        (dict(ratio_range=(0.0, 0.5)), "ratio_range"),
        (dict(img_scale=[(5, 5), (6, 6), (7, 7)]), "two scales, not 3"),
    ],
)
def test_resize_refuses(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Resize(**arguments)


def test_resize_without_any_scale() -> None:
    with pytest.raises(UserError, match="img_scale"):
        Resize()(sample(4, 4))


@pytest.mark.parametrize(
    ("shape", "divisor", "expected"),
    [
        ((384, 1272), 32, (384, 1280)),
        ((375, 1242), 32, (384, 1248)),
        ((1, 1), 32, (32, 32)),
        ((6, 6), (4, 3), (6, 8)),
    ],
)
def test_resize_to_multiple_rounds_up(
    shape: tuple[int, int], divisor: Any, expected: tuple[int, int]
) -> None:
    results = ResizeToMultiple(size_divisor=divisor)(sample(*shape))
    assert results["img"].shape[:2] == results["gt_semantic_seg"].shape == expected
    assert results["img_shape"] == results["pad_shape"] == (*expected, 3)


def test_resize_to_multiple_refuses() -> None:
    with pytest.raises(UserError, match="size_divisor"):
        ResizeToMultiple(size_divisor=0)
    with pytest.raises(UserError, match="bilinear"):
        ResizeToMultiple(interpolation="linear")


def test_seg_rescale_leaves_the_image() -> None:
    results = SegRescale(scale_factor=0.5)(sample(9, 13))
    assert results["img"].shape == (9, 13, 3) and results["gt_semantic_seg"].shape == (5, 7)
    with pytest.raises(UserError, match="above 0"):
        SegRescale(scale_factor=0)


def test_single_channel_keeps_its_dimensions() -> None:
    results = Resize(img_scale=(8, 8), keep_ratio=False)({"img": np.zeros((4, 4, 1), np.uint8)})
    assert results["img"].shape == (8, 8, 1)
    assert Resize(img_scale=(8, 8), keep_ratio=False)({"img": np.zeros((4, 4), np.uint8)})["img"].shape == (
        8,
        8,
    )


def test_every_mask_field_follows() -> None:
    results = sample(4, 4, seg_fields=["gt_semantic_seg", "gt_depth"], gt_depth=np.zeros((4, 4), np.float32))
    results = Resize(img_scale=(8, 6), keep_ratio=False)(results)
    assert results["gt_depth"].shape == results["gt_semantic_seg"].shape == (6, 8)


def test_repr() -> None:
    assert repr(Resize(img_scale=(4, 2))) == (
        "Resize(img_scale=[(4, 2)], multiscale_mode=range, ratio_range=None, keep_ratio=True)"
    )
    assert repr(ResizeToMultiple()) == "ResizeToMultiple(size_divisor=32, interpolation=None)"
    assert repr(SegRescale(0.5)) == "SegRescale(scale_factor=0.5)"
