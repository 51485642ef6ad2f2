from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mmseg.datasets.pipelines import Compose
from mmseg.models import BaseSegmentor, build_segmentor
from mmseg.models.segmentors import inference
from mmseg.utils.errors import UserError
from tests.helpers_models import DATA, metas, recorded_json, recorded_model, segformer, tiny_segformer

PHOTO = DATA.parent / "transforms" / "image.png"


class Echo(BaseSegmentor):
    """A segmentor whose logits are its input; it keeps the sizes of the batches that it saw."""

    def __init__(self, **test_cfg: Any) -> None:
        super().__init__()
        self.test_cfg, self.align_corners, self.num_classes = test_cfg or None, False, 3
        self.seen: list[tuple[int, ...]] = []

    def extract_feat(self, img: Tensor) -> list[Tensor]:
        return [img]

    def encode_decode(self, img: Tensor, img_metas: Any = None) -> Tensor:
        assert img_metas is None or len(img_metas) == len(img)
        self.seen.append(tuple(img.shape))
        return img

    def forward_train(self, img: Tensor, img_metas: Any, gt_semantic_seg: Tensor) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(img, gt_semantic_seg[:, 0])}


@pytest.fixture(scope="module")
def segformer_b0() -> BaseSegmentor:
    return recorded_model(segformer("b0"))


@pytest.mark.parametrize("case", ["whole_keep", "whole_mult", "msflip", "slide"])
def test_label_maps_are_those_of_0_25(segformer_b0: BaseSegmentor, case: str) -> None:
    recorded = recorded_json("inference.json")[case]
    results = Compose(recorded["cfg"]["pipeline"])({"img_info": {"filename": str(PHOTO)}, "img_prefix": None})
    images = [torch.as_tensor(image)[None] for image in results["img"]]
    assert [list(image.shape) for image in images] == recorded["sizes"]
    segformer_b0.test_cfg = recorded["cfg"]["test_cfg"]
    (label,) = segformer_b0(images, [[m] for m in results["img_metas"]], return_loss=False)
    expected = np.array(Image.open(DATA / f"{case}.png"))
    assert label.dtype == np.int64
    assert label.shape == expected.shape
    assert (label == expected).mean() >= 0.999


@given(st.integers(1, 60), st.integers(1, 40), st.integers(1, 40))
def test_windows_cover_everything_and_stay_inside(length: int, crop: int, stride: int) -> None:
    stride = min(stride, crop)
    starts = inference.window_starts(length, crop, stride)
    covered = {i for s in starts for i in range(s, s + min(crop, length))}
    assert covered == set(range(length))
    assert starts == sorted(set(starts))
    assert len(starts) == max(-(-(length - crop) // stride), 0) + 1


def test_sliding_averages_over_windows() -> None:
    image, model = torch.randn(2, 3, 50, 70), Echo(mode="slide", crop_size=[32, 40], stride=[20, 15])
    torch.testing.assert_close(inference.logits_of(model, image, metas(image)), image)
    windows = sum(shape[0] for shape in model.seen) // 2
    assert windows == 2 * 3
    assert {shape[2:] for shape in model.seen} == {(32, 40)}


def test_windows_run_together_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.randn(1, 3, 40, 40)
    together, alone = (Echo(mode="slide", crop_size=20, stride=20) for _ in range(2))
    expected = inference.logits_of(together, image, None)
    monkeypatch.setattr(inference, "PIXELS_AT_ONCE", 1)
    torch.testing.assert_close(inference.logits_of(alone, image, None), expected)
    assert [s[0] for s in together.seen] == [4]
    assert [s[0] for s in alone.seen] == [1, 1, 1, 1]


def test_an_image_smaller_than_the_window_is_one_window() -> None:
    image, model = torch.randn(1, 3, 20, 30), Echo(mode="slide", crop_size=(64, 24), stride=(32, 6))
    torch.testing.assert_close(inference.logits_of(model, image, None), image)
    assert model.seen == [(2, 3, 20, 24)]


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_padding_is_cut_off_before_resizing(mode: str) -> None:
    model = Echo(mode=mode, crop_size=(16, 16), stride=(16, 16))
    image = torch.randn(1, 3, 32, 48)
    padded = F.pad(image, (0, 16, 0, 8), value=100.0)
    info = [{"ori_shape": (64, 96, 3), "img_shape": (32, 48, 3), "flip": False}]
    expected = F.interpolate(image, (64, 96), mode="bilinear")
    scores = model_inference(model, padded, info)
    torch.testing.assert_close(scores, expected.softmax(1))
    assert torch.equal(model.predict(padded, info)[0], expected.argmax(1)[0])


def model_inference(model: BaseSegmentor, image: Tensor, info: list[dict]) -> Tensor:
    return inference.inference(model, image, info, rescale=True)


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
def test_flips_are_undone(direction: str) -> None:
    image = torch.randn(1, 3, 10, 14)
    dims = {"horizontal": (3,), "vertical": (2,), "diagonal": (2, 3)}[direction]
    info = metas(image, flip=True, flip_direction=direction)
    flipped = image.flip(dims)
    torch.testing.assert_close(model_inference(Echo(), flipped, info), image.softmax(1))
    assert torch.equal(Echo().predict(flipped, info)[0], image.argmax(1)[0])


def test_an_unknown_flip_is_named() -> None:
    image = torch.randn(1, 3, 4, 4)
    with pytest.raises(UserError, match="'sideways'"):
        Echo().predict(image, metas(image, flip=True, flip_direction="sideways"))


def test_augmentations_average_their_scores() -> None:
    images = [torch.randn(2, 3, 20, 24), torch.randn(2, 3, 30, 36), torch.randn(2, 3, 20, 24)]
    info = [metas(i) for i in images]
    for per_image in info:
        for meta in per_image:
            meta["ori_shape"] = (25, 30, 3)
    for meta in info[2]:
        meta |= {"flip": True, "flip_direction": "horizontal"}
    scores = sum(model_inference(Echo(), i, m) for i, m in zip(images, info, strict=True))
    model = Echo()
    labels = model.aug_test(images, info)
    assert [label.tolist() for label in labels] == scores.argmax(1).tolist()
    assert model.seen == [(4, 3, 20, 24), (2, 3, 30, 36)]  # equal sizes went through together


def test_images_of_different_original_size_in_one_batch() -> None:
    image = torch.randn(2, 3, 16, 16)
    info = metas(image)
    info[0]["ori_shape"], info[1]["ori_shape"] = (8, 9, 3), (33, 20, 3)
    labels = Echo().forward_test([image], [info])
    assert [label.shape for label in labels] == [(8, 9), (33, 20)]
    alone = [Echo().forward_test(image[i : i + 1], info[i : i + 1])[0] for i in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(labels, alone, strict=True))
    both = Echo().forward_test([image, image], [info, info])
    assert all(np.array_equal(a, b) for a, b in zip(labels, both, strict=True))
    with pytest.raises(UserError, match="different original sizes"):
        model_inference(Echo(), image, info)


def test_without_rescale_the_labels_have_the_size_of_the_input() -> None:
    image = torch.randn(1, 3, 16, 16)
    info = metas(image)
    info[0]["ori_shape"] = (40, 40, 3)
    assert Echo().simple_test(image, info, rescale=False)[0].shape == (16, 16)
    with pytest.raises(UserError, match="rescale=True"):
        Echo().forward_test([image, image], [info, info], rescale=False)


def test_inference_of_a_model() -> None:
    model = build_segmentor(
        tiny_segformer(test_cfg={"mode": "slide", "crop_size": [48, 48], "stride": [24, 24]})
    )
    model.init_weights()
    model.eval()
    image = torch.randn(2, 3, 64, 80)
    info = metas(image)
    scores = model.inference(image, info, rescale=True)
    torch.testing.assert_close(scores.sum(1), torch.ones(2, 64, 80))
    torch.testing.assert_close(model.slide_inference(image, info, True).softmax(1), scores)
    labels = model(image, info, return_loss=False)
    assert [label.tolist() for label in labels] == scores.argmax(1).tolist()
    whole = model.whole_inference(image, info, rescale=False)
    torch.testing.assert_close(whole, model.encode_decode(image, info))


def test_labels_need_no_gradient() -> None:
    image = torch.randn(1, 3, 8, 8, requires_grad=True)
    (label,) = Echo().predict(image, metas(image))
    assert not label.requires_grad
    assert label.dtype == torch.int64


@pytest.mark.parametrize(
    ("test_cfg", "message"),
    [
        ({"mode": "sliding"}, "'sliding'"),
        ({"mode": "slide"}, "crop_size"),
        ({"mode": "slide", "crop_size": [8, 8]}, "stride"),
        ({"mode": "slide", "crop_size": [8, 8], "stride": [0, 8]}, "stride"),
    ],
)
def test_wrong_test_settings_are_named(test_cfg: dict, message: str) -> None:
    image = torch.randn(1, 3, 16, 16)
    with pytest.raises(UserError, match=message):
        Echo(**test_cfg).predict(image, metas(image))


def test_lists_that_do_not_match_are_named() -> None:
    image = torch.randn(2, 3, 16, 16)
    with pytest.raises(UserError, match="2 augmented batches, but 1"):
        Echo().predict([image, image], [metas(image)])
    with pytest.raises(UserError, match="1 img_metas"):
        Echo().predict(image, metas(image)[:1])
