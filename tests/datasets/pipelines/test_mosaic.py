from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmseg.datasets.pipelines import RandomMosaic
from mmseg.datasets.seeding import drawing_from
from mmseg.utils.errors import UserError


def sample(value: int, size: tuple[int, int] = (6, 8), **kwargs: Any) -> dict[str, Any]:
    masks = {"gt_semantic_seg": np.full(size, value, np.uint8), "seg_fields": ["gt_semantic_seg"]}
    return {"img": np.full((*size, 3), 10 * value, np.uint8), **masks, **kwargs}


def mixed(first: dict[str, Any], *others: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    return {**first, "mix_results": list(others), "rng": np.random.default_rng(seed)}


def test_four_quarters_meet_at_the_middle() -> None:
    transform = RandomMosaic(prob=1.0, img_scale=(6, 8), center_ratio_range=(1.0, 1.0))
    results = transform(mixed(*map(sample, (1, 2, 3, 4))))
    expected = np.array([[1, 2], [3, 4]], np.uint8).repeat(6, 0).repeat(8, 1)
    assert np.array_equal(results["gt_semantic_seg"], expected)
    assert np.array_equal(results["img"], np.repeat(10 * expected[..., None], 3, 2))
    assert results["img_shape"] == results["ori_shape"] == results["pad_shape"] == (12, 16, 3)


def test_away_from_the_middle_images_are_cut_and_gaps_filled() -> None:
    transform = RandomMosaic(
        prob=1.0, img_scale=(6, 8), center_ratio_range=(0.5, 0.5), pad_val=[7, 8, 9], seg_pad_val=254
    )
    first, last = sample(1), sample(4)
    first["gt_semantic_seg"][:] = np.arange(48, dtype=np.uint8).reshape(6, 8)
    last["gt_semantic_seg"][:] = np.arange(48, dtype=np.uint8).reshape(6, 8)
    results = transform(mixed(first, sample(2), sample(3), last))
    mask = results["gt_semantic_seg"]
    assert np.array_equal(mask[:3, :4], first["gt_semantic_seg"][3:, 4:])  # its lower right part
    assert np.array_equal(mask[3:9, 4:12], last["gt_semantic_seg"])
    assert (mask[:3, 4:12] == 2).all() and (mask[3:9, :4] == 3).all()
    assert (mask[9:] == 254).all() and (mask[:, 12:] == 254).all()
    assert (results["img"][9:] == [7, 8, 9]).all()


def test_images_of_other_sizes_keep_their_proportions() -> None:
    transform = RandomMosaic(prob=1.0, img_scale=(6, 8), center_ratio_range=(1.0, 1.0))
    results = transform(mixed(sample(1, (12, 4)), sample(2, (3, 8)), sample(3, (1, 1)), sample(4, (60, 80))))
    mask = results["gt_semantic_seg"]
    assert [(mask == v).sum() for v in (1, 2, 3, 4)] == [6 * 2, 3 * 8, 6 * 6, 6 * 8]
    assert (mask[:6, 6:8] == 1).all() and (mask[3:6, 8:] == 2).all() and (mask[6:, 2:8] == 3).all()


def test_probability_and_grey_images() -> None:
    grey = [{"img": np.full((6, 8), v, np.uint8)} for v in range(4)]
    shapes = [
        RandomMosaic(prob=0.5, img_scale=(6, 8))(mixed(*grey, seed=seed))["img"].shape for seed in range(40)
    ]
    assert set(shapes) == {(6, 8), (12, 16)} and 10 < shapes.count((6, 8)) < 30


def test_other_samples_are_drawn_from_the_generator_of_the_sample() -> None:
    drawn = []
    for _ in range(2):
        with drawing_from(np.random.default_rng(3)):
            drawn.append([RandomMosaic(prob=1.0).get_indexes(range(5)) for _ in range(50)])
    assert drawn[0] == drawn[1]
    assert {i for three in drawn[0] for i in three} == set(range(5))
    assert all(len(three) == 3 for three in drawn[0])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(prob=2), "number from 0 to 1"),
        (dict(prob=1, img_scale=640), "two whole numbers"),
        (dict(prob=1, center_ratio_range=(0.5, 2.5)), "within 0 to 2"),
        (dict(prob=1, center_ratio_range=(1.5, 0.5)), "smaller one first"),
    ],
)
def test_arguments(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RandomMosaic(**kwargs)


def test_samples_that_do_not_fit() -> None:
    transform = RandomMosaic(prob=1.0, img_scale=(6, 8))
    with pytest.raises(UserError, match="needs three other samples"):
        transform(mixed(sample(1), sample(2)))
    grey = sample(2, filename="grey.png")
    grey["img"] = grey["img"][..., 0]
    with pytest.raises(UserError, match=r"shape \(6, 8, 3\) and that of grey.png the shape \(6, 8\)"):
        transform(mixed(sample(1), sample(2), grey, sample(3)))
    bare = {"img": sample(1)["img"]}
    with pytest.raises(UserError, match="`gt_semantic_seg` of one has .* another none"):
        transform(mixed(sample(1), sample(2), bare, sample(3)))
