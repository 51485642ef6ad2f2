from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmseg.datasets.pipelines import Pad, RandomCrop, RandomCutOut, RandomFlip, RandomRotate
from mmseg.utils.errors import UserError


def sample(h: int = 12, w: int = 20, **more: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "img": rng.integers(0, 256, (h, w, 3), dtype=np.uint8),
        "gt_semantic_seg": rng.integers(0, 5, (h, w), dtype=np.uint8),
        "rng": np.random.default_rng(1),
        **more,
    }


class TestRandomCrop:
    def test_size_is_height_width(self) -> None:
        results = RandomCrop(crop_size=(5, 9))(sample())
        assert results["img"].shape == (5, 9, 3) and results["gt_semantic_seg"].shape == (5, 9)
        assert results["img_shape"] == (5, 9, 3)

    def test_smaller_images_stay(self) -> None:
        assert RandomCrop(crop_size=(50, 9))(sample())["img"].shape == (12, 9, 3)

    def test_every_position_is_drawn(self) -> None:
        crop, rng = RandomCrop(crop_size=(10, 17)), np.random.default_rng(0)
        boxes = {crop.draw_box((12, 20, 3), rng) for _ in range(500)}
        assert boxes == {(y, y + 10, x, x + 17) for y in range(3) for x in range(4)}

    def test_cat_max_ratio_looks_for_a_mixed_crop(self) -> None:
        mask = np.zeros((40, 40), np.uint8)
        mask[:, 36:] = 1
        mask[:, :4] = 255
        plain, mixed = RandomCrop(crop_size=(8, 8)), RandomCrop(crop_size=(8, 8), cat_max_ratio=0.75)
        shares = []
        for crop in (plain, mixed):
            hits = [
                len(
                    set(
                        np.unique(
                            crop(sample(40, 40, gt_semantic_seg=mask, rng=np.random.default_rng(i)))[
                                "gt_semantic_seg"
                            ]
                        )
                    )
                    - {255}
                )
                > 1
                for i in range(200)
            ]
            shares.append(np.mean(hits))
        assert shares[0] < 0.2 and shares[1] > 2 * shares[0]

    @pytest.mark.parametrize("dtype", [np.uint8, np.int32])
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([0, 0, 0, 1], False),  # 0.75 is not below 0.75
            ([0, 0, 1, 1], True),
            ([0, 0, 0, 0], False),
            ([0, 255, 255, 255], False),  # one class is left
            ([0, 1, 255, 255], True),
            ([255, 255, 255, 255], False),
        ],
    )
    def test_is_mixed(self, dtype: Any, values: list[int], expected: bool) -> None:
        mask = np.array(values, dtype).reshape(2, 2)
        assert RandomCrop(crop_size=(2, 2), cat_max_ratio=0.75).is_mixed(mask) is expected

    def test_large_uneven_mask_counts_exactly(self) -> None:
        mask = np.zeros((100, 100), np.uint8)
        mask[:75] = 3
        assert not RandomCrop(crop_size=(1, 1), cat_max_ratio=0.75).is_mixed(mask)
        assert RandomCrop(crop_size=(1, 1), cat_max_ratio=0.7501).is_mixed(mask)

    @pytest.mark.parametrize(
        "arguments", [dict(crop_size=8), dict(crop_size=(0, 5)), dict(crop_size=(4.0, 4))]
    )
    def test_refuses_size(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(UserError, match="crop_size"):
            RandomCrop(**arguments)

    def test_refuses_ratio(self) -> None:
        with pytest.raises(UserError, match="cat_max_ratio"):
            RandomCrop(crop_size=(4, 4), cat_max_ratio=75)


class TestRandomFlip:
    @pytest.mark.parametrize(
        ("direction", "expected"),
        [
            ("horizontal", np.s_[:, ::-1]),
            ("vertical", np.s_[::-1]),
            ("diagonal", np.s_[::-1, ::-1]),
        ],
    )
    def test_direction(self, direction: str, expected: Any) -> None:
        given = sample()
        results = RandomFlip(prob=1.0, direction=direction)(dict(given))
        assert np.array_equal(results["img"], given["img"][expected])
        assert np.array_equal(results["gt_semantic_seg"], given["gt_semantic_seg"][expected])
        assert results["flip"] is True and results["flip_direction"] == direction
        assert results["img"].flags.c_contiguous

    def test_probability(self) -> None:
        flip, rng = RandomFlip(prob=0.25), np.random.default_rng(0)
        share = np.mean(
            [flip({"img": np.zeros((1, 1, 3), np.uint8), "rng": rng})["flip"] for _ in range(2000)]
        )
        assert share == pytest.approx(0.25, abs=0.04)

    def test_given_decision_wins(self) -> None:
        given = sample(flip=True, flip_direction="vertical")
        results = RandomFlip(prob=0.0)(dict(given))
        assert np.array_equal(results["img"], given["img"][::-1])
        assert not RandomFlip(prob=1.0)(sample(flip=False))["flip"]

    def test_no_probability_never_flips(self) -> None:
        assert RandomFlip()(sample())["flip"] is False

    def test_list_of_directions(self) -> None:
        flip, rng = RandomFlip(prob=1.0, direction=["horizontal", "vertical"]), np.random.default_rng(0)
        drawn = {flip(sample(rng=rng))["flip_direction"] for _ in range(30)}
        assert drawn == {"horizontal", "vertical"}

    def test_refuses(self) -> None:
        with pytest.raises(UserError, match="horizontal"):
            RandomFlip(prob=0.5, direction="sideways")
        with pytest.raises(UserError, match="prob"):
            RandomFlip(prob=1.5)


class TestPad:
    def test_fills_right_and_bottom(self) -> None:
        given = sample()
        results = Pad(size=(15, 24), pad_val=7, seg_pad_val=255)(dict(given))
        assert results["img"].shape == results["pad_shape"] == (15, 24, 3)
        assert np.array_equal(results["img"][:12, :20], given["img"])
        assert (results["img"][12:] == 7).all() and (results["img"][:, 20:] == 7).all()  # in every channel
        assert (results["gt_semantic_seg"][12:] == 255).all() and (
            results["gt_semantic_seg"][:, 20:] == 255
        ).all()
        assert results["pad_fixed_size"] == (15, 24) and results["pad_size_divisor"] is None

    def test_one_value_for_each_channel(self) -> None:
        results = Pad(size=(13, 20), pad_val=(1, 2, 3))(sample())
        assert results["img"][12].tolist() == [[1, 2, 3]] * 20

    def test_divisor_and_float_image(self) -> None:
        results = Pad(size_divisor=16)(sample(img=np.ones((12, 20, 3), np.float32)))
        assert results["img"].shape == (16, 32, 3) and results["img"].dtype == np.float32
        assert results["img"].sum() == 12 * 20 * 3

    def test_larger_images_stay(self) -> None:
        assert Pad(size=(4, 30))(sample())["img"].shape == (12, 30, 3)

    def test_refuses(self) -> None:
        with pytest.raises(UserError, match="either"):
            Pad()
        with pytest.raises(UserError, match="either"):
            Pad(size=(1, 1), size_divisor=4)
        with pytest.raises(UserError, match="size_divisor"):
            Pad(size_divisor=0)


class TestRandomRotate:
    def test_quarter_turn_is_clockwise(self) -> None:
        given = sample(9, 9)
        results = RandomRotate(prob=1.0, degree=(90, 90))(dict(given))
        assert np.array_equal(results["gt_semantic_seg"], np.rot90(given["gt_semantic_seg"], -1))
        assert np.abs(results["img"].astype(int) - np.rot90(given["img"], -1)).max() <= 1

    def test_auto_bound_keeps_everything(self) -> None:
        results = RandomRotate(prob=1.0, degree=(90, 90), auto_bound=True)(sample())
        assert results["img"].shape == results["img_shape"] == (20, 12, 3)

    def test_new_pixels(self) -> None:
        results = RandomRotate(prob=1.0, degree=(45, 45), pad_val=9, seg_pad_val=200)(sample())
        assert results["img"][0, 0].tolist() == [9, 9, 9] and results["gt_semantic_seg"][0, 0] == 200

    def test_probability_zero(self) -> None:
        given = sample()
        assert np.array_equal(RandomRotate(prob=0.0, degree=10)(dict(given))["img"], given["img"])

    def test_refuses(self) -> None:
        for arguments in (
            dict(prob=2, degree=10),
            dict(prob=0.5, degree=-10),
            dict(prob=0.5, degree=(20, 10)),
            dict(prob=0.5, degree=10, center=(1, 1), auto_bound=True),
        ):
            with pytest.raises(UserError, match="RandomRotate"):
                RandomRotate(**arguments)


class TestRandomCutOut:
    def test_holes(self) -> None:
        given = sample(30, 30)
        cut = RandomCutOut(prob=1.0, n_holes=1, cutout_shape=(4, 6), fill_in=(1, 2, 3), seg_fill_in=255)
        results = cut(dict(given))
        hole = results["gt_semantic_seg"] == 255
        assert 1 <= hole.sum() <= 24
        assert (results["img"][hole] == (1, 2, 3)).all()
        assert np.array_equal(results["img"][~hole], given["img"][~hole])

    def test_hole_of_the_whole_image(self) -> None:
        boxes = RandomCutOut(prob=1.0, n_holes=2, cutout_ratio=(1.0, 1.0)).draw_boxes(
            (10, 20, 3), np.random.default_rng(0)
        )
        assert len(boxes) == 2 and all(bottom == 10 and right == 20 for _, bottom, _, right in boxes)

    def test_mask_stays_by_default(self) -> None:
        given = sample()
        results = RandomCutOut(prob=1.0, n_holes=(3, 3), cutout_shape=[[2, 2], [3, 3]])(dict(given))
        assert np.array_equal(results["gt_semantic_seg"], given["gt_semantic_seg"])
        assert not np.array_equal(results["img"], given["img"])

    def test_refuses(self) -> None:
        with pytest.raises(UserError, match="either"):
            RandomCutOut(prob=1, n_holes=1)
        with pytest.raises(UserError, match="seg_fill_in"):
            RandomCutOut(prob=1, n_holes=1, cutout_shape=(1, 1), seg_fill_in=300)


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (RandomCrop(crop_size=(3, 4)), "RandomCrop(crop_size=(3, 4))"),
        (RandomFlip(prob=0.5), "RandomFlip(prob=0.5)"),
        (Pad(size=(3, 4)), "Pad(size=(3, 4), size_divisor=None, pad_val=0)"),
        (
            RandomRotate(prob=0.5, degree=10.0),
            "RandomRotate(prob=0.5, degree=(-10.0, 10.0), pad_val=0, seg_pad_val=255, center=None, "
            "auto_bound=False)",
        ),
        (
            RandomCutOut(prob=0.5, n_holes=1, cutout_shape=(5, 5)),
            "RandomCutOut(prob=0.5, n_holes=(1, 1), cutout_shape=[(5, 5)], fill_in=(0, 0, 0), "
            "seg_fill_in=None)",
        ),
    ],
)
def test_repr(transform: Any, expected: str) -> None:
    assert repr(transform) == expected
