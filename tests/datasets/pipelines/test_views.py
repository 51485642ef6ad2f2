from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg.datasets.pipelines import Compose, MultiScaleFlipAug
from mmseg.datasets.pipelines.views import Views
from tests.helpers_data import NORM

RESIZE = dict(type="Resize", keep_ratio=False)
KEEP_RATIO = dict(type="Resize", keep_ratio=True)
MULTIPLE = dict(type="ResizeToMultiple", size_divisor=32)
FLIP = dict(type="RandomFlip")
NORMALIZE = dict(type="Normalize", **NORM)
END = [dict(type="ImageToTensor", keys=["img"]), dict(type="Collect", keys=["img"])]


def aug(*steps: dict[str, Any], **settings: Any) -> dict[str, Any]:
    settings = {"img_scale": (128, 64), "img_ratios": [0.5, 1.3], "flip": True, **settings}
    return dict(type="MultiScaleFlipAug", transforms=[*steps, *END], **settings)


def sample(h: int = 50, w: int = 90, seed: int = 0) -> dict[str, Any]:
    img = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    return {"img": img, "ori_shape": img.shape, "filename": "a.png", "img_norm_cfg": None}


def assert_equal(fast: dict[str, Any], slow: dict[str, Any]) -> None:
    assert list(fast) == list(slow)
    assert len(fast["img"]) == len(slow["img"])
    for ours, theirs in zip(fast["img"], slow["img"], strict=True):
        assert ours.dtype == theirs.dtype == torch.float32
        assert ours.is_contiguous()
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(fast["img_metas"], slow["img_metas"], strict=True):
        assert list(ours) == list(theirs)
        assert repr(ours) == repr(theirs)


CASES = {
    "kitti": aug(RESIZE, MULTIPLE, FLIP, NORMALIZE),
    "keep ratio": aug(KEEP_RATIO, FLIP, NORMALIZE),
    "both directions": aug(RESIZE, FLIP, NORMALIZE, flip_direction=["horizontal", "vertical"]),
    "bgr, diagonal": aug(RESIZE, FLIP, {**NORMALIZE, "to_rgb": False}, flip_direction="diagonal"),
    "no flip": aug(KEEP_RATIO, NORMALIZE, flip=False),
    "one scale": aug(RESIZE, MULTIPLE, FLIP, NORMALIZE, img_ratios=None),
    "multiple only": aug(MULTIPLE, FLIP, NORMALIZE, img_scale=None, img_ratios=1.0),
    "own size": aug(RESIZE, FLIP, NORMALIZE, img_scale=None, img_ratios=[0.5, 1.0, 1.0]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_all_at_once_is_one_by_one(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Compose([case], exact=True)(sample())
    monkeypatch.setattr(MultiScaleFlipAug, "__call__", None)  # the fast path does not ask for it
    assert_equal(Compose([case])(sample()), slow)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 150), st.integers(1, 150), st.integers(0, 9))
def test_of_any_size(h: int, w: int, new_w: int, new_h: int, seed: int) -> None:
    case = aug(RESIZE, MULTIPLE, FLIP, NORMALIZE, img_scale=(new_w, new_h), img_ratios=[1.0, 0.7])
    assert_equal(Compose([case])(sample(h, w, seed)), Compose([case], exact=True)(sample(h, w, seed)))


def test_the_given_image_stays() -> None:
    given_sample = sample()
    before = given_sample["img"].copy()
    Compose([CASES["own size"]])(given_sample)
    assert np.array_equal(given_sample["img"], before)


def test_versions_of_one_size_lie_one_behind_the_other() -> None:
    first, second, third, _ = Compose([CASES["kitti"]])(sample())["img"]
    assert second.data_ptr() == first.data_ptr() + first.nbytes
    assert first.untyped_storage().data_ptr() != third.untyped_storage().data_ptr()


class Twice(MultiScaleFlipAug):
    """A user's own."""


@pytest.mark.parametrize(
    "steps",
    [
        [RESIZE, dict(type="Pad", size_divisor=32), NORMALIZE],
        [NORMALIZE, RESIZE],
        [RESIZE, dict(type="ResizeToMultiple", size_divisor=32, interpolation="nearest"), NORMALIZE],
        [RESIZE],
    ],
)
def test_other_transforms_go_one_by_one(steps: list[dict[str, Any]]) -> None:
    case = aug(*steps, flip=False)
    built = MultiScaleFlipAug(**{k: v for k, v in case.items() if k != "type"})
    assert not Views.known(built.transforms.transforms)
    slow = built(sample())
    fast = Compose([case])(sample())
    assert all(torch.equal(a, b) for a, b in zip(fast["img"], slow["img"], strict=True))


def test_subclasses_and_other_samples_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("all at once")

    monkeypatch.setattr(Views, "__call__", refuse)
    settings = {k: v for k, v in CASES["kitti"].items() if k != "type"}
    own = Twice(**settings)
    assert len(Compose([own])(sample())["img"]) == 4
    masked = {**sample(), "gt_semantic_seg": np.zeros((50, 90), np.uint8), "seg_fields": ["gt_semantic_seg"]}
    assert len(Compose([CASES["kitti"]])(masked)["img"]) == 4
    as_float = {**sample(), "img": sample()["img"].astype(np.float32)}
    assert len(Compose([CASES["kitti"]])(as_float)["img"]) == 4
    with pytest.raises(AssertionError, match="all at once"):
        Compose([CASES["kitti"]])(sample())
