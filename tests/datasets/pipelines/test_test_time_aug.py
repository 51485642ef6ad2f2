from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmseg.datasets.pipelines import MultiScaleFlipAug
from mmseg.utils.errors import UserError
from tests.helpers_data import NORM

STEPS = [
    dict(type="Resize", keep_ratio=False),
    dict(type="ResizeToMultiple", size_divisor=32),
    dict(type="RandomFlip"),
    dict(type="Normalize", **NORM),
    dict(type="ImageToTensor", keys=["img"]),
    dict(type="Collect", keys=["img"], meta_keys=("flip", "flip_direction", "img_shape", "scale_factor")),
]


def image(h: int = 125, w: int = 414) -> dict[str, Any]:
    return {"img": np.random.default_rng(0).integers(0, 256, (h, w, 3), dtype=np.uint8)}


def test_recorded_sizes() -> None:
    """The sizes that MMSegmentation 0.25 gives for the multi-scale test of the KITTI recipes, at a third."""
    aug = MultiScaleFlipAug(
        STEPS, img_scale=(426, 128), img_ratios=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75], flip=True
    )
    data = aug(image())
    sizes = [tuple(img.shape[1:]) for img in data["img"]]
    expected = [(64, 224), (96, 320), (128, 448), (160, 544), (192, 640), (224, 768)]
    assert sizes == [size for size in expected for _ in range(2)]
    assert [meta["flip"] for meta in data["img_metas"]] == [False, True] * 6
    assert data["img_metas"][0]["img_shape"] == (64, 224, 3)


def test_flipped_version_is_the_mirror_image() -> None:
    data = MultiScaleFlipAug(STEPS, img_scale=(64, 32), flip=True)(image())
    assert np.array_equal(data["img"][1].numpy(), data["img"][0].numpy()[..., ::-1])


def test_one_scale_without_ratios() -> None:
    for scale in ((64, 32), [64, 32], [(64, 32)]):
        data = MultiScaleFlipAug(STEPS, img_scale=scale, img_ratios=None, flip=False)(image())
        assert [tuple(img.shape) for img in data["img"]] == [(3, 32, 64)]


def test_several_scales() -> None:
    data = MultiScaleFlipAug(STEPS, img_scale=[(64, 32), (96, 64)])(image())
    assert [tuple(img.shape) for img in data["img"]] == [(3, 32, 64), (3, 64, 96)]


def test_ratios_of_the_image_itself() -> None:
    data = MultiScaleFlipAug(STEPS, img_scale=None, img_ratios=[0.5, 1.0])(image(64, 96))
    assert [tuple(img.shape) for img in data["img"]] == [(3, 32, 64), (3, 64, 96)]
    assert len(MultiScaleFlipAug(STEPS, img_ratios=0.5)(image())["img"]) == 1


def test_directions() -> None:
    aug = MultiScaleFlipAug(STEPS, img_scale=(64, 32), flip=True, flip_direction=["horizontal", "vertical"])
    metas = aug(image())["img_metas"]
    assert [(m["flip"], m["flip_direction"]) for m in metas] == [
        (False, "horizontal"),
        (False, "vertical"),
        (True, "horizontal"),
        (True, "vertical"),
    ]


def test_versions_do_not_touch_each_other() -> None:
    given = {**image(), "seg_fields": []}
    before = given["img"].copy()
    MultiScaleFlipAug(STEPS, img_scale=(64, 32), flip=True)(given)
    assert np.array_equal(given["img"], before) and given["seg_fields"] == []
    assert "scale" not in given and "flip" not in given


def test_refuses() -> None:
    with pytest.raises(UserError, match="img_scale.*or `img_ratios`"):
        MultiScaleFlipAug(STEPS)
    with pytest.raises(UserError, match="one `img_scale`, not with 2"):
        MultiScaleFlipAug(STEPS, img_scale=[(1, 1), (2, 2)], img_ratios=[1.0])
    with pytest.raises(UserError, match="above 0"):
        MultiScaleFlipAug(STEPS, img_scale=(4, 4), img_ratios=[0.5, -1])


def test_warns_of_settings_without_effect() -> None:
    with pytest.warns(UserWarning, match="RandomFlip"):
        one = MultiScaleFlipAug(STEPS[:1], img_scale=(4, 4), flip=True)
    with pytest.warns(UserWarning, match="flip=False"):
        other = MultiScaleFlipAug(STEPS, img_scale=(4, 4), flip_direction="vertical")
    assert one.flip and not other.flip  # taken as they are


def test_repr() -> None:
    shown = repr(MultiScaleFlipAug(STEPS[2:3], img_scale=(4, 2), flip=True))
    assert shown.startswith("MultiScaleFlipAug(transforms=Compose(")
    assert shown.endswith("img_scale=[(4, 2)], flip=True)flip_direction=['horizontal']")
