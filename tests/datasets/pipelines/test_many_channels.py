"""Images with more than three channels, from the file to the model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch

from mmseg.datasets import PIPELINES, build_dataloader, build_dataset
from mmseg.models import build_segmentor
from mmseg.utils.errors import UserError
from tests.helpers_data import write_image
from tests.helpers_models import tiny_segformer

DTYPES = [np.uint8, np.uint16, np.int16, np.float32]
CHANNELS = [1, 2, 4, 5, 12, 200]


def image_of(channels: int, dtype: Any, size: tuple[int, int] = (21, 30)) -> np.ndarray:
    rng = np.random.default_rng(channels)
    small = rng.random((4, 5, channels)) * 200
    planes = [cv2.resize(small[..., c], size[::-1]) for c in range(channels)]
    return np.dstack(planes).astype(dtype)


def apply(config: dict[str, Any], image: np.ndarray, seed: int = 0) -> np.ndarray:
    sample = {"img": image, "rng": np.random.default_rng(seed)}
    return PIPELINES.build(config)(sample)["img"]


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "config",
    [
        dict(type="Resize", img_scale=(40, 33), keep_ratio=False),
        dict(type="Resize", img_scale=(9, 13), keep_ratio=False),
        dict(type="ResizeToMultiple", size_divisor=16, interpolation="area"),
        dict(type="ResizeToMultiple", size_divisor=16, interpolation="lanczos"),
        dict(type="RandomCrop", crop_size=(8, 11)),
        dict(type="RandomFlip", prob=1.0, direction="diagonal"),
        dict(type="Pad", size=(32, 32), pad_val=7),
        dict(type="RandomRotate", prob=1.0, degree=40, pad_val=7),
        dict(type="RandomCutOut", prob=1.0, n_holes=2, cutout_shape=(4, 4), fill_in=(7, 7, 7)),
        dict(type="RandomMosaic", prob=0.0),
    ],
    ids=lambda c: c["type"],
)
def test_every_channel_as_if_alone(config: dict[str, Any], channels: int, dtype: Any) -> None:
    image = image_of(channels, dtype)
    image.flags.writeable = False
    got = apply(config, image)
    assert got.dtype == dtype and got.shape[2] == channels
    alone = [apply(config, np.ascontiguousarray(image[..., c])) for c in (0, channels // 2, channels - 1)]
    for c, plane in zip((0, channels // 2, channels - 1), alone, strict=True):
        # Four channels together may be rounded another way than one.
        tolerance = 4 if config["type"] == "RandomRotate" else 1
        assert np.abs(got[..., c].astype(float) - plane.reshape(got.shape[:2])).max() <= tolerance


def test_values_for_each_channel() -> None:
    image = image_of(5, np.uint8)
    padded = apply(dict(type="Pad", size=(24, 40), pad_val=[1, 2, 3, 4, 5]), image)
    assert padded[-1, -1].tolist() == [1, 2, 3, 4, 5] and np.array_equal(padded[:21, :30], image)
    turned = apply(dict(type="RandomRotate", prob=1.0, degree=(45, 45), pad_val=[1, 2, 3, 4, 5]), image)
    assert turned[0, 0].tolist() == [1, 2, 3, 4, 5]
    assert apply(dict(type="Pad", size_divisor=64, pad_val=[123.675, 300, -1]), image[..., :3])[
        -1, -1
    ].tolist() == [124, 255, 0]
    for kind, name, extra in (
        ("Pad", "pad_val", dict(size_divisor=64)),
        ("RandomRotate", "pad_val", dict(prob=1.0, degree=10)),
        ("RandomCutOut", "fill_in", dict(prob=1.0, n_holes=1, cutout_shape=(4, 4))),
    ):
        with pytest.raises(UserError, match=rf"{kind}: `{name}` has 3 values .*\(21, 30, 5\)"):
            apply({"type": kind, name: (1, 2, 3), **extra}, image)


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize(dtype: Any) -> None:
    image, mean, std = image_of(12, dtype), np.arange(12.0), np.arange(1.0, 13)
    got = apply(dict(type="Normalize", mean=mean.tolist(), std=std.tolist(), to_rgb=False), image)
    assert got.dtype == np.float32 and np.abs(got - (image - mean) / std).max() < 1e-4


def test_what_needs_three_channels_or_grey_levels_says_so() -> None:
    with pytest.raises(
        UserError, match=r"PhotoMetricDistortion needs an image of three channels.*\(21, 30, 5\)"
    ):
        apply(dict(type="PhotoMetricDistortion"), image_of(5, np.uint8))
    for kind in ("PhotoMetricDistortion", "CLAHE", "AdjustGamma"):
        with pytest.raises(
            UserError, match=f"{kind} works on grey levels from 0 to 255, but .* uint16.*`Rerange`"
        ):
            apply(dict(type=kind), image_of(3, np.uint16))
    for kind in ("CLAHE", "AdjustGamma"):
        assert apply(dict(type=kind), image_of(5, np.uint8)).shape == (21, 30, 5)


class TestTiff:
    def load(self, path: Path, **kwargs: Any) -> dict[str, Any]:
        results = {"img_info": {"filename": path.name}, "img_prefix": str(path.parent)}
        return PIPELINES.build(dict(type="LoadTiffImageFromFile", **kwargs))(results)

    @pytest.mark.parametrize("channels", [1, 3, 5, 12])
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("first", [False, True])
    def test_layouts(self, tmp_path: Path, channels: int, dtype: Any, first: bool) -> None:
        image = image_of(channels, dtype)
        stored = image.transpose(2, 0, 1) if first else image
        tifffile.imwrite(tmp_path / "i.tif", stored, photometric="minisblack")
        results = self.load(tmp_path / "i.tif")
        assert np.array_equal(results["img"], image) and results["img"].dtype == dtype
        assert results["ori_shape"] == results["img_shape"] == image.shape
        assert results["img_norm_cfg"]["mean"].shape == (channels,)

    def test_the_files_own_word_on_its_axes_comes_first(self, tmp_path: Path) -> None:
        wide = image_of(3, np.uint8, size=(2, 9))
        tifffile.imwrite(tmp_path / "a.tif", wide, photometric="rgb")
        assert self.load(tmp_path / "a.tif")["img"].shape == (2, 9, 3)
        planar = dict(photometric="rgb", planarconfig="separate")
        tifffile.imwrite(tmp_path / "b.tif", wide.transpose(2, 0, 1), **planar)
        assert np.array_equal(self.load(tmp_path / "b.tif")["img"], wide)
        tifffile.imwrite(tmp_path / "c.tif", image_of(12, np.uint8, size=(5, 30)), photometric="minisblack")
        assert self.load(tmp_path / "c.tif", channels_first=False)["img"].shape == (5, 30, 12)

    def test_grey_and_chosen_channels(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "g.tif", image_of(1, np.uint8)[..., 0])
        assert self.load(tmp_path / "g.tif")["img"].shape == (21, 30, 1)
        image = image_of(5, np.uint16)
        tifffile.imwrite(tmp_path / "i.tif", image, photometric="minisblack")
        got = self.load(tmp_path / "i.tif", channels=[4, 0], to_float32=True)["img"]
        assert got.dtype == np.float32 and np.array_equal(got, image[..., [4, 0]])
        with pytest.raises(UserError, match="the channel 5, but .*i.tif has 5"):
            self.load(tmp_path / "i.tif", channels=[5])

    @pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.float64, np.float16, np.int8])
    def test_types_that_nothing_can_resize_become_float32(self, tmp_path: Path, dtype: Any) -> None:
        image = (image_of(5, np.float32) / 2).astype(dtype)
        tifffile.imwrite(tmp_path / "i.tif", image, photometric="minisblack")
        got = self.load(tmp_path / "i.tif")["img"]
        assert got.dtype == np.float32 and np.array_equal(got, image.astype(np.float32))

    def test_mistakes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(UserError, match="none.tif does not exist"):
            self.load(tmp_path / "none.tif")
        (tmp_path / "bad.tif").write_bytes(b"II*\0" + bytes(40))
        with pytest.raises(UserError, match="cannot read the image .*bad.tif as TIFF"):
            self.load(tmp_path / "bad.tif")
        tifffile.imwrite(tmp_path / "four.tif", np.zeros((2, 3, 4, 5), np.uint8), photometric="minisblack")
        with pytest.raises(UserError, match=r"shape \(2, 3, 4, 5\)"):
            self.load(tmp_path / "four.tif")
        with pytest.raises(UserError, match="`channels` are numbers"):
            self.load(tmp_path / "four.tif", channels=[-1])
        monkeypatch.setitem(sys.modules, "tifffile", None)
        with pytest.raises(UserError, match="needs tifffile.*pip install tifffile"):
            self.load(tmp_path / "bad.tif")


def test_a_model_of_five_channels_trains(tmp_path: Path) -> None:
    for i in range(2):
        image = image_of(5, np.uint16, size=(48, 64)) * (i + 1)
        (tmp_path / "img_dir").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"img_dir/{i}.tif", image, photometric="minisblack")
        write_image(tmp_path / f"ann_dir/{i}.png", (image[..., 4] > 100).astype(np.uint8))
    steps = [
        dict(type="LoadTiffImageFromFile"),
        dict(type="LoadAnnotations"),
        dict(type="Resize", img_scale=(64, 48), ratio_range=(0.5, 2.0)),
        dict(type="RandomCrop", crop_size=(32, 32)),
        dict(type="RandomFlip", prob=0.5),
        dict(type="Normalize", mean=[100.0] * 5, std=[50.0] * 5, to_rgb=False),
        dict(type="Pad", size=(32, 32)),
        dict(type="DefaultFormatBundle"),
        dict(type="Collect", keys=["img", "gt_semantic_seg"]),
    ]
    data = build_dataset(
        dict(
            type="CustomDataset",
            data_root=str(tmp_path),
            img_dir="img_dir",
            ann_dir="ann_dir",
            img_suffix=".tif",
            classes=["a", "b"],
            pipeline=steps,
        )
    )
    (batch,) = build_dataloader(data, 2, 0, dist=False)
    config = tiny_segformer()
    config["backbone"]["in_channels"] = 5
    config["decode_head"] |= {"num_classes": 2, "norm_cfg": {"type": "BN"}}
    losses = build_segmentor(config)(**batch)
    assert batch["img"].shape == (2, 5, 32, 32) and torch.isfinite(losses["decode.loss_ce"])
