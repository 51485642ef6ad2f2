"""What every registered transform keeps, for any size from 1x1 up.

Image and masks keep one geometry; draws depend only on ``results['rng']``; the caller's arrays stay as
they are. Each pixel carries its coordinates: channel 0 and one mask hold the column, channel 1 and another
mask the row, so that a pixel that moves differently in image and mask says so.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmseg.datasets import PIPELINES
from tests.helpers_data import NORM, same

COLUMNS, ROWS = "gt_semantic_seg", "gt_rows"
ALBU_KEYS = {"img": "image", COLUMNS: "mask", ROWS: "rows"}
ALBU = dict(type="Albu", keymap=ALBU_KEYS, additional_targets={"rows": "mask"})
AFFINE = dict(type="Affine", scale=(0.7, 1.4), translate_percent=(-0.2, 0.2), fill_mask=255, p=0.8)
VIEWS = [dict(type="Resize", keep_ratio=True), dict(type="RandomFlip")]

# Every pixel of the result comes from somewhere, in image and masks alike.
GEOMETRIC = [
    dict(type="Resize", img_scale=(40, 20), keep_ratio=True),
    dict(type="Resize", img_scale=(7, 31), keep_ratio=False),
    dict(type="Resize", img_scale=[(20, 10), (60, 30)], multiscale_mode="range"),
    dict(type="Resize", img_scale=[(20, 10), (5, 9)], multiscale_mode="value", keep_ratio=False),
    dict(type="Resize", ratio_range=(0.1, 3.0)),
    dict(type="Resize", img_scale=(9, 5), keep_ratio=True, min_size=6),
    dict(type="ResizeToMultiple", size_divisor=8),
    dict(type="RandomCrop", crop_size=(5, 9), cat_max_ratio=0.75),
    dict(type="RandomCrop", crop_size=(64, 1)),
    dict(type="RandomFlip", prob=0.5, direction=["horizontal", "vertical", "diagonal"]),
    dict(type="Pad", size=(32, 12)),
    dict(type="Pad", size_divisor=7),
    dict(type="RandomRotate", prob=0.8, degree=180),
    dict(type="RandomRotate", prob=1.0, degree=(10, 80), auto_bound=True),
    dict(type="RandomMosaic", prob=0.8, img_scale=(17, 25)),
    dict(type="RandomMosaic", prob=1.0, img_scale=(40, 9), center_ratio_range=(0.0, 2.0)),
    dict(ALBU, transforms=[dict(type="HorizontalFlip", p=0.5), dict(type="VerticalFlip", p=0.5)]),
    dict(ALBU, transforms=[dict(type="OneOf", p=1.0, transforms=[dict(type="Transpose"), AFFINE])]),
    dict(type="Compose", transforms=[dict(type="RandomFlip", prob=0.5), dict(type="Pad", size_divisor=4)]),
]
# These leave every pixel where it is, and the masks as they are.
PHOTOMETRIC = [
    dict(type="RandomCutOut", prob=0.7, n_holes=(1, 3), cutout_ratio=[(0.3, 0.5), (1.0, 1.0)]),
    dict(type="RandomCutOut", prob=1.0, n_holes=1, cutout_shape=(3, 2)),
    dict(type="PhotoMetricDistortion"),
    dict(type="Normalize", **NORM),
    dict(type="Rerange"),
    dict(type="CLAHE"),
    dict(type="AdjustGamma", gamma=1.7),
    dict(type="RGB2Gray"),
    dict(ALBU, transforms=[dict(type="RandomBrightnessContrast", p=0.7)]),
    dict(ALBU, transforms=[dict(type="GaussNoise", p=1.0)], bgr_to_rgb=False),
]
OTHERS = [
    dict(type="SegRescale", scale_factor=0.5),
    dict(type="MultiScaleFlipAug", img_ratios=[0.5, 1.5], flip=True, transforms=VIEWS),
    dict(type="DefaultFormatBundle"),
    dict(type="ImageToTensor", keys=["img"]),
    dict(type="ToTensor", keys=["img"]),
    dict(type="Transpose", keys=["img"], order=(2, 0, 1)),
    dict(type="Collect", keys=["img", COLUMNS]),
]
LOADERS = ["LoadImageFromFile", "LoadTiffImageFromFile", "LoadAnnotations"]
RANDOM = {"Resize", "RandomCrop", "RandomFlip", "RandomRotate", "RandomMosaic", "Compose"}
RANDOM |= {"RandomCutOut", "PhotoMetricDistortion", "Albu"}
FIXED = [c for c in GEOMETRIC if c["type"] == "Resize" and isinstance(c.get("img_scale"), tuple)]

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def name_of(config: dict[str, Any]) -> str:
    return f"{config['type']}-{str({k: v for k, v in config.items() if k != 'type'})[:40]}"


def every(configs: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("config", configs, ids=name_of)


def painted(size: tuple[int, int]) -> dict[str, Any]:
    """An image of ``size`` (h, w) whose pixels hold (column, row, 0), and masks of columns and rows."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.uint8)
    image = np.dstack([columns, rows, np.zeros_like(rows)])
    return {"img": image, COLUMNS: columns.copy(), ROWS: rows.copy(), "seg_fields": [COLUMNS, ROWS]}


def noisy(size: tuple[int, int], seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    masks = {key: rng.integers(0, 19, size, dtype=np.uint8) for key in (COLUMNS, ROWS)}
    return {"img": rng.integers(0, 256, (*size, 3), dtype=np.uint8), **masks, "seg_fields": [COLUMNS, ROWS]}


def given_to(
    config: dict[str, Any], sample: dict[str, Any], seed: int, size: tuple[int, int]
) -> dict[str, Any]:
    """``sample`` with a generator and, for a mosaic, three others of other sizes."""
    if config["type"] == "RandomMosaic":
        others = [(size[1], size[0]), (1, 1), (33, 12)]
        make = painted if sample["img"][..., 2].max() == 0 else lambda s: noisy(s, seed + 1)
        sample = {**sample, "mix_results": [make(other) for other in others]}
    return {**sample, "rng": np.random.default_rng([seed, 1])}


def without_rng(results: Any) -> Any:
    return {k: v for k, v in results.items() if k not in ("rng", "mix_results")}


def farthest(results: dict[str, Any], step: float) -> float:
    """The largest difference of coordinates between image and masks, in pixels, where masks have one.

    Leaves out pixels beside filled ones or the edge, where bilinear interpolation mixes the filling in.
    """
    known = (results[COLUMNS] != 255) & (results[ROWS] != 255)
    if step:
        known = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    return max(
        np.abs(results["img"][..., channel].astype(int) - results[key])[known].max(initial=0)
        for channel, key in enumerate((COLUMNS, ROWS))
    )


def test_every_registered_transform_is_here() -> None:
    here = {config["type"] for config in GEOMETRIC + PHOTOMETRIC + OTHERS} | set(LOADERS)
    ours = {name for name, entry in PIPELINES.module_dict.items() if entry.__module__.startswith("mmseg.")}
    assert here == ours


@every(GEOMETRIC)
@settings(max_examples=25)
@given(size=SIZES, seed=st.integers(0, 1000))
def test_pixels_of_image_and_masks_move_together(
    config: dict[str, Any], size: tuple[int, int], seed: int
) -> None:
    results = PIPELINES.build(config)(given_to(config, painted(size), seed, size))
    shape = results["img"].shape
    assert shape[:2] == results[COLUMNS].shape == results[ROWS].shape
    assert min(shape) >= 1 and shape[2] == 3
    assert results.get("pad_shape", shape) == shape
    exact = config["type"] in ("RandomCrop", "RandomFlip", "Pad", "Compose")
    if exact:
        assert farthest(results, step=0) == 0
        return
    # Bilinear and nearest look at most one pixel of the coarser of the two grids apart.
    inside = (results[COLUMNS] != 255) & (results[ROWS] != 255)
    assert inside.any()
    scale = 1.0
    if config["type"] == "RandomMosaic":
        scale = max(scale, 40 / 9)
    elif config["type"] != "RandomRotate":
        scale = max(scale, size[0] / shape[0], size[1] / shape[1])
    assert farthest(results, step=1) <= 1 + scale


@every(PHOTOMETRIC)
@settings(max_examples=25)
@given(size=SIZES, seed=st.integers(0, 1000))
def test_grey_levels_change_and_pixels_stay(config: dict[str, Any], size: tuple[int, int], seed: int) -> None:
    sample = noisy(size, seed)
    results = PIPELINES.build(config)(given_to(config, dict(sample), seed, size))
    assert results["img"].shape == (*size, 3)
    assert np.array_equal(results[COLUMNS], sample[COLUMNS])
    assert np.array_equal(results[ROWS], sample[ROWS])
    assert np.isfinite(results["img"]).all()


@settings(max_examples=25)
@given(size=SIZES, seed=st.integers(0, 1000))
def test_cut_out_masks_where_it_cuts_the_image(size: tuple[int, int], seed: int) -> None:
    config = dict(type="RandomCutOut", prob=1.0, n_holes=2, cutout_ratio=(0.5, 0.5), fill_in=(9, 9, 9))
    sample = given_to(config, painted(size), seed, size)
    sample["img"] = np.full((*size, 3), 100, np.uint8)
    results = PIPELINES.build({**config, "seg_fill_in": 255})(sample)
    assert np.array_equal(results["img"][..., 0] == 9, results[COLUMNS] == 255)
    assert np.array_equal(results["img"][..., 0] == 9, results[ROWS] == 255)


@settings(max_examples=25)
@given(size=SIZES)
def test_rescaled_masks_keep_their_place(size: tuple[int, int]) -> None:
    results = PIPELINES.build(OTHERS[0])(painted(size))
    h, w = results[COLUMNS].shape
    assert (h, w) == tuple(max(1, int(edge / 2 + 0.5)) for edge in size)
    assert np.abs(results[COLUMNS] - np.arange(w) * size[1] / w).max() <= 1
    assert np.abs(results[ROWS] - np.arange(h)[:, None] * size[0] / h).max() <= 1
    assert np.array_equal(results["img"], painted(size)["img"])


@settings(max_examples=25)
@given(size=SIZES)
def test_every_version_of_a_test_image_keeps_its_geometry(size: tuple[int, int]) -> None:
    results = PIPELINES.build(OTHERS[1])(painted(size))
    assert len(results["img"]) == 4
    for img, columns, rows in zip(results["img"], results[COLUMNS], results[ROWS], strict=True):
        version = {"img": img, COLUMNS: columns, ROWS: rows}
        scale = max(1, size[0] / img.shape[0], size[1] / img.shape[1])
        assert img.shape[:2] == columns.shape and farthest(version, step=1) <= 1 + scale


@settings(max_examples=10)
@given(size=SIZES)
def test_formatting_keeps_every_pixel(size: tuple[int, int]) -> None:
    sample = painted(size)
    bundle = PIPELINES.build(dict(type="DefaultFormatBundle"))(painted(size))
    assert np.array_equal(bundle["img"].permute(1, 2, 0), sample["img"])
    assert bundle[COLUMNS].dtype == torch.int64 and np.array_equal(bundle[COLUMNS][0], sample[COLUMNS])
    as_tensor = PIPELINES.build(dict(type="ImageToTensor", keys=["img"]))(painted(size))["img"]
    transposed = PIPELINES.build(dict(type="Transpose", keys=["img"], order=(2, 0, 1)))(painted(size))["img"]
    plain = PIPELINES.build(dict(type="ToTensor", keys=["img"]))(painted(size))["img"]
    assert torch.equal(as_tensor, bundle["img"]) and np.array_equal(transposed, as_tensor)
    assert np.array_equal(plain, sample["img"])
    collected = PIPELINES.build(dict(type="Collect", keys=["img", COLUMNS]))(painted(size))
    assert np.array_equal(collected[COLUMNS], sample[COLUMNS]) and set(collected) == {
        "img",
        COLUMNS,
        "img_metas",
    }


@settings(max_examples=15)
@given(size=SIZES)
def test_what_is_loaded_is_what_was_written(size: tuple[int, int], tmp_path_factory: Any) -> None:
    folder: Path = tmp_path_factory.getbasetemp() / "loaded"
    folder.mkdir(exist_ok=True)
    sample = painted(size)
    assert cv2.imwrite(str(folder / "i.png"), sample["img"])
    tifffile.imwrite(folder / "i.tif", sample["img"], photometric="rgb")
    Image.fromarray(sample[COLUMNS]).save(folder / "m.png")
    for kind, name in (("LoadImageFromFile", "i.png"), ("LoadTiffImageFromFile", "i.tif")):
        results = {"img_info": {"filename": name}, "img_prefix": str(folder)}
        results |= {"ann_info": {"seg_map": "m.png"}, "seg_prefix": str(folder)}
        results = PIPELINES.build(dict(type=kind))(results)
        results = PIPELINES.build(dict(type="LoadAnnotations"))(results)
        assert np.array_equal(results["img"], sample["img"])
        assert np.array_equal(results[COLUMNS], sample[COLUMNS])
        assert results["img_shape"] == results["ori_shape"] == results["pad_shape"] == (*size, 3)


@every(GEOMETRIC + PHOTOMETRIC + OTHERS)
@settings(max_examples=6)
@given(size=SIZES, seed=st.integers(0, 1000))
def test_draws_depend_on_rng_only(config: dict[str, Any], size: tuple[int, int], seed: int) -> None:
    transform = PIPELINES.build(config)
    outcomes, states = [], []
    for other in range(2):
        random.seed(other)
        np.random.seed(other)
        torch.manual_seed(other)
        before = random.getstate(), list(np.random.get_state()), torch.get_rng_state()
        outcomes.append(without_rng(transform(given_to(config, noisy(size, seed), seed, size))))
        after = random.getstate(), list(np.random.get_state()), torch.get_rng_state()
        states.append(before[0] == after[0] and same(before[1:], after[1:]))
    assert same(outcomes[0], outcomes[1])
    assert states == [True, True]


@every([c for c in GEOMETRIC + PHOTOMETRIC if c["type"] in RANDOM and c not in FIXED])
def test_draws_differ(config: dict[str, Any]) -> None:
    """The test above sees something: other generators, other outcomes."""
    transform, sample = PIPELINES.build(config), noisy((20, 30), 0)
    outcomes = [transform(given_to(config, dict(sample), seed, (20, 30)))["img"] for seed in range(6)]
    assert len({(image.shape, image.tobytes()) for image in outcomes}) > 1


@every(GEOMETRIC + PHOTOMETRIC + OTHERS)
@settings(max_examples=6)
@given(size=SIZES, seed=st.integers(0, 1000))
def test_the_arrays_of_the_caller_stay_as_they_are(
    config: dict[str, Any], size: tuple[int, int], seed: int
) -> None:
    sample = given_to(config, noisy(size, seed), seed, size)
    everything = [sample, *sample.get("mix_results", ())]
    for part in everything:
        for key in ("img", COLUMNS, ROWS):
            part[key].flags.writeable = config["type"] in ("DefaultFormatBundle", "ToTensor", "ImageToTensor")
    kept = [{key: part[key] for key in ("img", COLUMNS, ROWS)} for part in everything]
    copies = [{key: array.copy() for key, array in part.items()} for part in kept]
    PIPELINES.build(config)(sample)
    assert same(kept, copies)
