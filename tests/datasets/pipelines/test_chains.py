"""Random chains of transforms, from 1x1 and strips up, one by one and as one step: what every chain keeps.

Image and mask keep one size, the mask holds only what it held before and what transforms fill in, nothing
becomes NaN, types stay what they are said to be, and the entries that describe the image tell the truth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg.datasets import PIPELINES
from mmseg.datasets.pipelines import Compose
from tests.helpers_data import NORM, same

FILL = 254  # what transforms put into masks here; no mask holds it
MASK = "gt_semantic_seg"

EDGES = st.integers(1, 40) | st.sampled_from([1, 2, 3, 8, 200])
SIZES = st.tuples(EDGES, EDGES).filter(lambda size: size[0] * size[1] <= 4000) | st.sampled_from(
    [(1, 1), (1, 2000), (2000, 1), (2, 1500), (3, 7)]
)
EDGE = st.integers(1, 48)
PAIR = st.tuples(EDGE, EDGE)

# Each keeps the number of channels, whatever it is.
GEOMETRIC = st.one_of(
    st.builds(lambda s, keep: dict(type="Resize", img_scale=s, keep_ratio=keep), PAIR, st.booleans()),
    st.builds(
        lambda low, up: dict(type="Resize", ratio_range=(low, low + up)), st.floats(0.01, 1), st.floats(0, 2)
    ),
    st.builds(lambda a, b: dict(type="Resize", img_scale=[a, b], multiscale_mode="range"), PAIR, PAIR),
    st.builds(
        lambda a, b, c: dict(type="Resize", img_scale=[a, b, c], multiscale_mode="value", keep_ratio=False),
        PAIR, PAIR, PAIR,
    ),
    st.builds(lambda s, m: dict(type="Resize", img_scale=s, min_size=m), PAIR, st.integers(1, 12)),
    st.builds(lambda d: dict(type="ResizeToMultiple", size_divisor=d), st.sampled_from([1, 4, (8, 3)])),
    st.builds(
        lambda s, ratio: dict(type="RandomCrop", crop_size=s, cat_max_ratio=ratio), PAIR,
        st.sampled_from([1.0, 0.75, 0.1]),
    ),
    st.builds(
        lambda p, d: dict(type="RandomFlip", prob=p, direction=d), st.sampled_from([None, 0.0, 0.5, 1.0]),
        st.sampled_from(["horizontal", "vertical", "diagonal", ["horizontal", "diagonal"]]),
    ),
    st.builds(lambda s: dict(type="Pad", size=s, seg_pad_val=FILL), PAIR),
    st.builds(lambda d: dict(type="Pad", size_divisor=d, pad_val=7.5, seg_pad_val=FILL), st.integers(1, 9)),
    st.builds(
        lambda a, bound: dict(type="RandomRotate", prob=0.8, degree=a, auto_bound=bound, seg_pad_val=FILL),
        st.floats(0.1, 180), st.booleans(),
    ),
    st.builds(
        lambda n, r, fill: dict(
            type="RandomCutOut", prob=0.8, n_holes=n, cutout_ratio=(r, 1 - r), seg_fill_in=fill
        ),
        st.integers(0, 3), st.floats(0, 1), st.sampled_from([None, FILL]),
    ),
    st.builds(
        lambda s, low: dict(
            type="RandomMosaic", prob=0.7, img_scale=s, center_ratio_range=(low, 2 - low), seg_pad_val=FILL
        ),
        st.tuples(st.integers(1, 16), st.integers(1, 16)), st.floats(0, 1),
    ),
)  # fmt: skip
# These take one to many channels, of uint8 or float32, and give the type that stands beside them.
PHOTOMETRIC = st.one_of(
    st.just((dict(type="CLAHE"), "uint8")),
    st.builds(lambda g: (dict(type="AdjustGamma", gamma=g), "uint8"), st.floats(0.05, 9)),
    st.just((dict(type="Rerange"), "float32")),
)
COLOURS = st.one_of(
    st.just((dict(type="PhotoMetricDistortion"), "uint8")), st.just((dict(type="RGB2Gray"), "float32"))
)


def sample(size: tuple[int, int], channels: int, seed: int, ignored: str) -> dict[str, Any]:
    """An image (H, W, C), or (H, W) for no channels, and its mask of 0 to 4, of which some or all is 255."""
    rng = np.random.default_rng(seed)
    img = rng.integers(0, 256, (*size, channels) if channels else size, dtype=np.uint8)
    mask = rng.integers(0, 5, size, dtype=np.uint8)
    mask[rng.random(size) < {"none": 0.0, "some": 0.4, "all": 1.0}[ignored]] = 255
    return {"img": img, MASK: mask, "seg_fields": [MASK]}


def others(config: dict[str, Any], results: dict[str, Any], seed: int) -> dict[str, Any]:
    """What a mosaic needs besides: three samples of the kind that ``results`` is by now."""
    if config["type"] != "RandomMosaic":
        return results
    channels = 0 if results["img"].ndim == 2 else results["img"].shape[2]
    made = [sample(size, channels, seed + 1, "some") for size in ((1, 1), (9, 33), (40, 2))]
    return {**results, "mix_results": [{**m, "img": m["img"].astype(results["img"].dtype)} for m in made]}


def check(results: dict[str, Any], dtype: str, channels: int, labels: set[int]) -> None:
    img, mask = results["img"], results[MASK]
    assert img.shape[:2] == mask.shape and img.size > 0
    assert img.shape[2:] == ((channels,) if channels else ())
    assert img.dtype == dtype and mask.dtype == np.uint8
    assert np.isfinite(img).all()
    assert set(np.unique(mask).tolist()) <= labels
    assert results.get("pad_shape", img.shape) == img.shape


@settings(max_examples=200, deadline=None)
@given(
    size=SIZES,
    channels=st.sampled_from([0, 1, 2, 3, 3, 4, 5]),
    seed=st.integers(0, 10**6),
    ignored=st.sampled_from(["none", "some", "all"]),
    moves=st.lists(GEOMETRIC, max_size=5),
    data=st.data(),
)
def test_what_every_chain_keeps(
    size: tuple[int, int], channels: int, seed: int, ignored: str, moves: list[Any], data: st.DataObject
) -> None:
    levels = data.draw(st.lists(PHOTOMETRIC | COLOURS if channels == 3 else PHOTOMETRIC, max_size=2))
    order = data.draw(st.permutations([(move, None) for move in moves] + levels))
    results = {**sample(size, channels, seed, ignored), "rng": np.random.default_rng(seed)}
    before = results["img"].copy(), results[MASK].copy()
    given_arrays = results["img"], results[MASK]
    labels, dtype = set(np.unique(results[MASK]).tolist()) | {FILL}, "uint8"
    for config, gives in order:
        for entry in ("scale", "flip", "flip_direction"):
            results.pop(entry, None)  # so that each transform draws anew
        if config["type"] == "RandomMosaic":
            labels |= {0, 1, 2, 3, 4, 255}
        results = PIPELINES.build(config)(others(config, results, seed))
        dtype = gives or dtype
        check(results, dtype, channels, labels)
    assert same(given_arrays, before)


def test_normalising_ends_every_chain() -> None:
    for channels in (1, 2, 3, 4, 5):
        norm = dict(type="Normalize", mean=[100.0] * channels, std=[50.0] * channels, to_rgb=channels == 3)
        for size in ((1, 1), (1, 300), (17, 5)):
            results = Compose([norm, dict(type="DefaultFormatBundle")])(sample(size, channels, 0, "all"))
            assert results["img"].shape == (channels, *size) and results["img"].dtype == torch.float32
            assert results[MASK].shape == (1, *size) and set(results[MASK].unique().tolist()) == {255}
            assert torch.isfinite(results["img"]).all()


# From files, as one step ----------------------------------------------------------------------------

LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
TENSORS = [
    dict(type="Normalize", **NORM),
    dict(type="Pad", size=(9, 9), seg_pad_val=FILL),
    dict(type="DefaultFormatBundle"),
    dict(type="Collect", keys=["img", MASK]),
]


def written(folder: Path, size: tuple[int, int], ignored: str) -> dict[str, Any]:
    made, name = sample(size, 3, 1, ignored), f"{size[0]}_{size[1]}_{ignored}.png"
    if not (folder / f"m{name}").exists():
        assert cv2.imwrite(str(folder / name), made["img"]) and cv2.imwrite(
            str(folder / f"m{name}"), made[MASK]
        )
    info = {"img_info": {"filename": name}, "ann_info": {"seg_map": f"m{name}"}}
    return {**info, "img_prefix": str(folder), "seg_prefix": str(folder), "num_classes": 5}


def without_mosaic(config: dict[str, Any]) -> bool:
    return config["type"] != "RandomMosaic"


@settings(max_examples=150, deadline=None)
@given(
    size=SIZES,
    ignored=st.sampled_from(["none", "some", "all"]),
    seed=st.integers(0, 10**6),
    moves=st.lists(GEOMETRIC.filter(without_mosaic), max_size=4),
    distort=st.booleans(),
)
def test_a_chain_as_one_step_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    size: tuple[int, int],
    ignored: str,
    seed: int,
    moves: list[dict[str, Any]],
    distort: bool,
) -> None:
    start = written(tmp_path_factory.getbasetemp(), size, ignored)
    chain = [*LOAD, *moves, *([dict(type="PhotoMetricDistortion")] if distort else []), *TENSORS]
    samples = []
    for exact in (True, False):
        rng = np.random.default_rng(seed)
        results = Compose(chain, exact=exact)({**start, "seg_fields": [], "rng": rng})
        samples.append((results, rng.bit_generator.state))
    assert same(samples[0][0], samples[1][0]) and samples[0][1] == samples[1][1]
    img, mask = samples[1][0]["img"], samples[1][0][MASK]
    assert img.shape[1:] == mask.shape[1:] == samples[1][0]["img_metas"]["pad_shape"][:2]
    assert min(img.shape[1:]) >= 9 and img.dtype == torch.float32 and mask.dtype == torch.int64
    assert torch.isfinite(img).all()
    assert set(mask.unique().tolist()) <= {0, 1, 2, 3, 4, 255, FILL}
    assert ignored != "all" or set(mask.unique().tolist()) <= {255, FILL}


# Versions of a test image -----------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    size=SIZES,
    scales=st.one_of(
        st.builds(lambda s: dict(img_scale=s), PAIR),
        st.builds(
            lambda s, r: dict(img_scale=s, img_ratios=r),
            PAIR,
            st.lists(st.floats(0.05, 2), min_size=1, max_size=3),
        ),
        st.builds(lambda r: dict(img_ratios=r), st.floats(0.05, 2)),
        st.builds(lambda a, b: dict(img_scale=[a, b]), PAIR, PAIR),
    ),
    flip=st.booleans(),
    keep_ratio=st.booleans(),
    divisor=st.none() | st.integers(1, 9),
)
def test_versions_of_any_image(
    tmp_path_factory: pytest.TempPathFactory,
    size: tuple[int, int],
    scales: dict[str, Any],
    flip: bool,
    keep_ratio: bool,
    divisor: int | None,
) -> None:
    start = written(tmp_path_factory.getbasetemp(), size, "none")
    transforms = [
        dict(type="Resize", keep_ratio=keep_ratio),
        *([dict(type="ResizeToMultiple", size_divisor=divisor)] if divisor else []),
        dict(type="RandomFlip"),
        dict(type="Normalize", **NORM),
        dict(type="ImageToTensor", keys=["img"]),
        dict(type="Collect", keys=["img"]),
    ]
    directions = ["horizontal", "vertical"] if flip else "horizontal"
    aug = dict(
        type="MultiScaleFlipAug", transforms=transforms, flip=flip, flip_direction=directions, **scales
    )
    exact, fast = (Compose([LOAD[0], aug], exact=e)(dict(start)) for e in (True, False))
    assert same(exact, fast)
    for img, metas in zip(fast["img"], fast["img_metas"], strict=True):
        assert img.shape[0] == 3 and img.dtype == torch.float32 and torch.isfinite(img).all()
        assert tuple(img.shape[1:]) == metas["img_shape"][:2] == metas["pad_shape"][:2]
        assert metas["ori_shape"] == (*size, 3)
        assert divisor is None or all(edge % divisor == 0 for edge in img.shape[1:])
    count = len(fast["img"])
    assert [m["flip"] for m in fast["img_metas"]] == (
        [False, False, True, True] * (count // 4) if flip else [False] * count
    )
