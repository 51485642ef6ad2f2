from __future__ import annotations

import numpy as np
import pytest
import torch

from mmseg.datasets.pipelines import (
    Collect,
    Compose,
    DefaultFormatBundle,
    ImageToTensor,
    ToTensor,
    Transpose,
    to_tensor,
)
from mmseg.utils.errors import UserError


def test_format_bundle() -> None:
    img = np.random.default_rng(0).random((4, 5, 3), dtype=np.float32)
    seg = np.arange(20, dtype=np.uint8).reshape(4, 5)
    results = DefaultFormatBundle()({"img": img, "gt_semantic_seg": seg[:, ::-1]})
    assert results["img"].shape == (3, 4, 5) and results["img"].dtype == torch.float32
    assert results["img"].is_contiguous()
    assert np.array_equal(results["img"].numpy(), img.transpose(2, 0, 1))
    assert results["gt_semantic_seg"].shape == (1, 4, 5) and results["gt_semantic_seg"].dtype == torch.int64
    assert results["gt_semantic_seg"].is_contiguous()
    assert np.array_equal(results["gt_semantic_seg"][0].numpy(), seg[:, ::-1])


def test_format_bundle_takes_every_mask_and_grey_images() -> None:
    results = DefaultFormatBundle()(
        {"img": np.zeros((4, 5), np.float32), "seg_fields": ["gt_edge"], "gt_edge": np.ones((4, 5), np.uint8)}
    )
    assert results["img"].shape == (1, 4, 5)
    assert results["gt_edge"].shape == (1, 4, 5) and results["gt_edge"].dtype == torch.int64


@pytest.mark.parametrize(("shape", "expected"), [((4, 5, 3), (3, 4, 5)), ((4, 5), (1, 4, 5))])
def test_image_to_tensor(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    results = ImageToTensor(keys=["img"])({"img": np.zeros(shape, np.uint8)})
    assert results["img"].shape == expected and results["img"].is_contiguous()
    assert results["img"].dtype == torch.uint8


def test_collect() -> None:
    given = dict(
        img=1,
        other=2,
        filename="a",
        ori_filename="b",
        ori_shape=3,
        img_shape=4,
        pad_shape=5,
        scale_factor=6,
        flip=True,
        flip_direction="vertical",
        img_norm_cfg=7,
    )
    data = Collect(keys=["img"])(given)
    assert data["img"] == 1 and set(data) == {"img", "img_metas"}
    assert data["img_metas"] == {k: v for k, v in given.items() if k not in ("img", "other")}


def test_collect_without_all_metas() -> None:
    data = Collect(keys=["img"])({"img": 1})
    assert data["img_metas"] == {"flip": False, "flip_direction": "horizontal"}
    assert Collect(keys=[], meta_keys=["x", "y"])({"x": 3})["img_metas"] == {"x": 3}


def test_collect_names_what_is_missing() -> None:
    with pytest.raises(UserError, match="`gt_semantic_seg`.*LoadAnnotations"):
        Collect(keys=["img", "gt_semantic_seg"])({"img": 1})


def test_to_tensor() -> None:
    assert to_tensor(np.array([1, 2])).tolist() == [1, 2]
    assert to_tensor([1.5]).dtype == torch.float32
    assert to_tensor(3).tolist() == [3] and to_tensor(0.5).tolist() == [0.5]
    tensor = torch.zeros(2)
    assert to_tensor(tensor) is tensor
    with pytest.raises(UserError, match="str"):
        to_tensor("abc")
    results = ToTensor(keys=["a"])({"a": np.zeros((2, 3))})
    assert results["a"].shape == (2, 3)
    assert Transpose(keys=["a"], order=[1, 0])({"a": np.zeros((2, 3))})["a"].shape == (3, 2)


class TestCompose:
    def test_callables_and_dictionaries(self) -> None:
        pipeline = Compose([dict(type="RandomFlip", prob=0.0), lambda results: {**results, "seen": True}])
        assert pipeline({"img": np.zeros((2, 2, 3), np.uint8)})["seen"] is True

    def test_none_ends_it(self) -> None:
        def fail(results: dict) -> dict:
            raise AssertionError("reached")

        assert Compose([lambda results: None, fail])({}) is None

    def test_refuses(self) -> None:
        with pytest.raises(UserError, match="callables, not int"):
            Compose([3])
        with pytest.raises(UserError, match="did you mean `RandomFlip`"):
            Compose([dict(type="RandomFlipp")])
        with pytest.raises(UserError, match="did you mean `crop_size`"):
            Compose([dict(type="RandomCrop", cropsize=(3, 3))])

    def test_repr(self) -> None:
        assert repr(Compose([dict(type="RandomFlip", prob=0.5)])) == "Compose(\n    RandomFlip(prob=0.5)\n)"


def test_reprs() -> None:
    assert repr(ImageToTensor(keys=["img"])) == "ImageToTensor(keys=['img'])"
    assert repr(DefaultFormatBundle()) == "DefaultFormatBundle"
    assert repr(Collect(keys=["img"], meta_keys=("flip",))) == "Collect(keys=['img'], meta_keys=('flip',))"
    assert repr(ToTensor(keys=["a"])) == "ToTensor(keys=['a'])"
    assert repr(Transpose(keys=["a"], order=[1, 0])) == "Transpose(keys=['a'], order=[1, 0])"
