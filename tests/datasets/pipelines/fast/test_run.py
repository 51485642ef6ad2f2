"""Fused runs give what the transforms give one by one: tensors, descriptions and the generator's state."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg.datasets.pipelines import Collect, Compose, Normalize, RandomCrop, RandomFlip, Resize
from mmseg.datasets.pipelines.fast import FusedRun
from mmseg.datasets.pipelines.fast.pixels import ResizedMask, resized_crop
from mmseg.utils.errors import UserError

NORM = dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")]
TENSORS = [dict(type="DefaultFormatBundle"), dict(type="Collect", keys=["img", "gt_semantic_seg"])]
CROP = dict(type="RandomCrop", crop_size=(32, 40), cat_max_ratio=0.75)
RECIPE = [
    *LOAD,
    dict(type="Resize", img_scale=(80, 60), ratio_range=(0.5, 2.0)),
    CROP,
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    NORM,
    dict(type="Pad", size=(32, 40), pad_val=0, seg_pad_val=255),
    *TENSORS,
]


class Cache:
    """What a data set's cache promises: read-only arrays, one for each kind and path."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], np.ndarray] = {}

    def get(self, kind: str, path: str, read: Callable[[], np.ndarray]) -> np.ndarray:
        if (kind, path) not in self.kept:
            array = np.array(read())
            array.flags.writeable = False
            self.kept[kind, path] = array
        return self.kept[kind, path]


def scene(folder: Path, h: int = 60, w: int = 80, seed: int = 0) -> dict[str, Any]:
    """Write an image and its mask; give the dictionary that a data set begins with."""
    rng = np.random.default_rng(seed)
    name = f"{h}_{w}_{seed}.png"
    if not (folder / name).exists():
        mask = rng.integers(0, 5, (h // 8 + 1, w // 8 + 1), dtype=np.uint8).repeat(8, 0).repeat(8, 1)[:h, :w]
        mask[mask == 4] = 255
        noise = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        (folder / "ann").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "ann" / name), np.ascontiguousarray(mask))
        cv2.imwrite(str(folder / name), noise)
    return {
        "img_info": {"filename": name},
        "ann_info": {"seg_map": name},
        "img_prefix": str(folder),
        "seg_prefix": str(folder / "ann"),
        "seg_fields": [],
        "num_classes": 19,
    }


def run(
    transforms: list[Any], given: dict[str, Any], seed: int, exact: bool, cache: Any = None
) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    results = {**given, "seg_fields": [], "rng": rng}
    if cache is not None:
        results["cache"] = cache
    return Compose(transforms, exact=exact)(results), rng.bit_generator.state


def plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | torch.Tensor):
        return type(value), str(value.dtype), value.tolist()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in ("rng", "cache")}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


def assert_same(transforms: list[Any], given: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    slow, slow_state = run(transforms, given, seed, exact=True)
    cache = Cache()
    for label, exact, kept in (
        ("fused", False, None),
        ("fused, filling a cache", False, cache),
        ("fused, from a cache", False, cache),
        ("one by one, from a cache", True, cache),
    ):
        fast, state = run(transforms, given, seed, exact, kept)
        assert state == slow_state, label
        assert fast.keys() - {"cache"} == slow.keys(), label
        assert plain(fast) == plain(slow), label
        for key in ("img", "gt_semantic_seg"):
            value = fast.get(key)
            if isinstance(value, torch.Tensor):
                assert value.is_contiguous() and value.stride() == slow[key].stride(), label
            elif isinstance(value, np.ndarray):
                assert value.flags.writeable, f"{label}: a later transform may write to it"
    return slow


def test_the_recipe_is_one_run(tmp_path: Path) -> None:
    steps = Compose(RECIPE).steps()
    assert [type(s) for s in steps] == [FusedRun, Collect] and len(steps[0].transforms) == 9
    assert "FusedRun(LoadImageFromFile, LoadAnnotations, Resize" in repr(steps[0])
    for seed in range(30):
        sample = assert_same(RECIPE, scene(tmp_path), seed)
        assert sample["img"].shape == (3, 32, 40) and sample["gt_semantic_seg"].shape == (1, 32, 40)


SIZES = st.integers(9, 90)
RESIZES = st.one_of(
    st.none(),
    st.builds(
        lambda low, keep: dict(
            type="Resize", img_scale=(80, 60), ratio_range=(low, low + 1.5), keep_ratio=keep
        ),
        st.floats(0.15, 1.2),
        st.booleans(),
    ),
    st.just(
        dict(type="Resize", img_scale=[(40, 30), (80, 60), (97, 71), (160, 120)], multiscale_mode="value")
    ),
    st.just(dict(type="Resize", img_scale=[(120, 40), (60, 30)], multiscale_mode="range")),
    st.just(dict(type="Resize", img_scale=(64, 48), min_size=50)),
    st.builds(lambda w, h: dict(type="Resize", img_scale=(w, h), keep_ratio=False), SIZES, SIZES),
)
CROPS = st.one_of(
    st.none(),
    st.builds(
        lambda h, w, ratio: dict(type="RandomCrop", crop_size=(h, w), cat_max_ratio=ratio),
        SIZES,
        SIZES,
        st.sampled_from([1.0, 0.9, 0.75, 0.5, 0.2]),
    ),
)
FLIPS = st.one_of(
    st.none(),
    st.builds(
        lambda prob, direction: dict(type="RandomFlip", prob=prob, direction=direction),
        st.sampled_from([0.0, 0.5, 1.0, None]),
        st.sampled_from(["horizontal", "vertical", "diagonal", ["horizontal", "vertical"]]),
    ),
)
DISTORTIONS = st.one_of(st.none(), st.just(dict(type="PhotoMetricDistortion")))
NORMS = st.one_of(st.none(), st.builds(lambda to_rgb: {**NORM, "to_rgb": to_rgb}, st.booleans()))
PADS = st.one_of(
    st.none(),
    st.builds(
        lambda h, w, value, seg: dict(type="Pad", size=(h, w), pad_val=value, seg_pad_val=seg),
        SIZES,
        SIZES,
        st.sampled_from([0, 7.6, [1, 2, 3], -1]),
        st.sampled_from([0, 255, 300]),
    ),
    st.just(dict(type="Pad", size_divisor=32)),
)
BUNDLES = st.one_of(st.none(), st.just(dict(type="DefaultFormatBundle")))


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(RESIZES, CROPS, FLIPS, DISTORTIONS, NORMS, PADS, BUNDLES), SIZES, SIZES, st.integers(0, 10**6)
)
def test_any_recipe_any_size(
    tmp_path_factory: pytest.TempPathFactory, steps: tuple[Any, ...], h: int, w: int, seed: int
) -> None:
    given = scene(tmp_path_factory.getbasetemp(), h, w)
    assert_same([*LOAD, *(step for step in steps if step is not None)], given, seed)


@settings(max_examples=30, deadline=None)
@given(st.permutations(RECIPE[2:7]), st.integers(0, 10**6))
def test_any_order(tmp_path_factory: pytest.TempPathFactory, steps: list[Any], seed: int) -> None:
    at = next(i for i, step in enumerate(steps) if step["type"] == "Normalize")
    after = {step["type"] for step in steps[at:]}
    if "PhotoMetricDistortion" in after:  # refuses what is no longer grey levels in both ways alike
        steps = [step for step in steps if step["type"] != "PhotoMetricDistortion"]
    assert_same([*LOAD, *steps, *RECIPE[7:]], scene(tmp_path_factory.getbasetemp()), seed)


class Darker:
    """A transform of the user's that writes into the array it gets."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        assert results["img"].dtype == np.uint8
        results["img"] //= 2
        results["gt_semantic_seg"][:2] = 255
        results["draw"] = float(results["rng"].random())
        return results


@pytest.mark.parametrize("at", range(2, 7))
def test_a_users_transform_in_between(tmp_path: Path, at: int) -> None:
    transforms = [*RECIPE[:at], Darker(), *RECIPE[at:]]
    steps = Compose(transforms).steps()
    assert any(isinstance(step, Darker) for step in steps) and any(isinstance(s, FusedRun) for s in steps)
    for seed in range(8):
        assert_same(transforms, scene(tmp_path), seed)


class MyCrop(RandomCrop):
    """Always the top left corner."""

    def draw_box(self, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int, int, int]:
        return 0, self.crop_size[0], 0, self.crop_size[1]


def test_a_subclass_keeps_its_own_call(tmp_path: Path) -> None:
    transforms = [*RECIPE[:3], MyCrop((32, 40)), *RECIPE[4:]]
    steps = Compose(transforms).steps()
    assert [type(s) for s in steps] == [FusedRun, MyCrop, FusedRun, Collect]
    for seed in range(8):
        assert_same(transforms, scene(tmp_path), seed)


def test_other_transforms_of_the_toolbox_in_between(tmp_path: Path) -> None:
    rotate = dict(type="RandomRotate", prob=0.7, degree=20)
    transforms = [*RECIPE[:3], rotate, *RECIPE[3:6], dict(type="AdjustGamma", gamma=1.3), *RECIPE[6:]]
    for seed in range(8):
        assert_same(transforms, scene(tmp_path), seed)


@pytest.mark.parametrize(
    "first",
    [
        dict(type="LoadImageFromFile", to_float32=True),
        dict(type="LoadImageFromFile", imdecode_backend="pillow"),
    ],
    ids=["float32", "pillow"],
)
def test_other_ways_to_load(tmp_path: Path, first: dict[str, Any]) -> None:
    for seed in range(6):
        assert_same([first, *RECIPE[1:]], scene(tmp_path), seed)


def test_images_of_one_channel(tmp_path: Path) -> None:
    norm = dict(type="Normalize", mean=[100.0], std=[50.0], to_rgb=False)
    first = dict(type="LoadImageFromFile", color_type="grayscale")
    assert_same([first, *RECIPE[1:5], norm, *RECIPE[7:]], scene(tmp_path), 3)


def test_classes_of_masks(tmp_path: Path) -> None:
    given = {**scene(tmp_path), "label_map": {0: 1, 1: -1, 2: 0, 3: 2}}
    for seed in range(6):
        assert_same(RECIPE, given, seed)
    reduced = [LOAD[0], dict(type="LoadAnnotations", reduce_zero_label=True), *RECIPE[2:]]
    assert_same(reduced, scene(tmp_path), 1)
    assert_same(
        RECIPE, {**scene(tmp_path), "ignore_index": 300, "num_classes": None, "label_map": {0: -1}}, 1
    )  # masks become int32


def test_several_masks(tmp_path: Path) -> None:
    class Second:
        def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
            results["edges"] = results["gt_semantic_seg"] + 1
            results["seg_fields"].append("edges")
            return results

    transforms = [
        *LOAD,
        Second(),
        *RECIPE[2:-1],
        dict(type="Collect", keys=["img", "gt_semantic_seg", "edges"]),
    ]
    for seed in range(6):
        sample = assert_same(transforms, scene(tmp_path), seed)
        assert sample["edges"].shape == (1, 32, 40)


def test_no_mask_and_given_choices(tmp_path: Path) -> None:
    given = {**scene(tmp_path), "scale": (100, 50), "flip": True, "flip_direction": "vertical"}
    transforms = [LOAD[0], *RECIPE[2:-1], dict(type="Collect", keys=["img"])]
    assert_same(transforms, given, 5)


def test_mistakes_are_told_alike(tmp_path: Path) -> None:
    wrong = {**scene(tmp_path), "num_classes": 2}
    other = {**scene(tmp_path, 60, 80), "ann_info": scene(tmp_path, 30, 20)["ann_info"]}
    short = [*RECIPE[:6], dict(type="Normalize", mean=[1.0], std=[1.0]), *RECIPE[7:]]
    many = [*RECIPE[:7], dict(type="Pad", size=(90, 99), pad_val=[1, 2]), *RECIPE[8:]]
    for transforms, start, words in (
        (RECIPE, wrong, "with 2 classes"),
        (RECIPE, other, "20x30"),
        (short, scene(tmp_path), "1 means"),
        (many, scene(tmp_path), "`pad_val` has 2 values"),
    ):
        messages = []
        for exact in (True, False):
            with pytest.raises(UserError) as caught:
                run(transforms, start, 0, exact)
            messages.append(str(caught.value))
        assert messages[0] == messages[1] and words in messages[0]


def test_transforms_may_be_changed_later(tmp_path: Path) -> None:
    pipelines = [Compose(RECIPE, exact=exact) for exact in (True, False)]
    for change in (
        lambda p: None,
        lambda p: setattr(p.transforms[4], "prob", 1.0),
        lambda p: p.transforms.insert(4, Darker()),
        lambda p: p.transforms.pop(6),
    ):
        samples = []
        for pipeline in pipelines:
            change(pipeline)
            samples.append(
                plain(pipeline({**scene(tmp_path), "seg_fields": [], "rng": np.random.default_rng(2)}))
            )
        assert samples[0] == samples[1]


def test_a_pipeline_travels_to_a_worker(tmp_path: Path) -> None:
    pipeline = Compose(RECIPE)
    pipeline.steps()
    again = pickle.loads(pickle.dumps(pipeline))
    samples = [
        plain(p({**scene(tmp_path), "seg_fields": [], "rng": np.random.default_rng(2)}))
        for p in (pipeline, again)
    ]
    assert samples[0] == samples[1]


def test_the_cache_is_left_as_it_was(tmp_path: Path) -> None:
    cache = Cache()
    run(RECIPE, scene(tmp_path), 0, False, cache)
    assert len(cache.kept) == 2
    before = {key: array.copy() for key, array in cache.kept.items()}
    for at in range(2, 7):
        for exact in (True, False):
            run([*RECIPE[:at], Darker(), *RECIPE[at:]], scene(tmp_path), at, exact, cache)
    assert all(np.array_equal(cache.kept[key], array) for key, array in before.items())
    assert len(cache.kept) == 2, "every way of reading shares what is kept"
    run([LOAD[0], dict(type="LoadAnnotations", reduce_zero_label=True)], scene(tmp_path), 0, False, cache)
    assert len(cache.kept) == 3, "a mask read with another setting is another array"


@settings(max_examples=150, deadline=None)
@given(SIZES, SIZES, SIZES, SIZES, st.data())
def test_a_crop_of_the_resized_image(h: int, w: int, new_h: int, new_w: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(h * w)
    img, mask = (rng.integers(0, 256, (h, w, *c), dtype=np.uint8) for c in ((3,), ()))
    top, left = data.draw(st.integers(0, new_h - 1)), data.draw(st.integers(0, new_w - 1))
    box = top, data.draw(st.integers(top + 1, new_h)), left, data.draw(st.integers(left + 1, new_w))
    part = np.s_[box[0] : box[1], box[2] : box[3]]
    assert np.array_equal(resized_crop(img, (new_w, new_h), box), cv2.resize(img, (new_w, new_h))[part])
    expected = cv2.resize(mask, (new_w, new_h), interpolation=cv2.INTER_NEAREST)[part]
    assert np.array_equal(ResizedMask(mask, (new_w, new_h))(box), expected)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 2, 255]), min_size=1, max_size=400),
    st.sampled_from([0.2, 0.5, 0.75, 0.99]),
)
def test_counting_one_class_is_enough(values: list[int], ratio: float) -> None:
    mask = np.array(values, np.uint8)[None].repeat(2, 0)
    classes = mask[mask != 255]
    counts = np.bincount(classes, minlength=2)
    expected = np.count_nonzero(counts) > 1 and counts.max() / counts.sum() < ratio
    assert RandomCrop((8, 8), cat_max_ratio=ratio).is_mixed(mask) == expected


def test_a_transform_that_has_a_faster_way_of_its_own() -> None:
    class Two:
        def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
            return {**results, "way": "by itself"}

        def in_one_step(self, results: dict[str, Any]) -> dict[str, Any]:
            return {**results, "way": "at once"}

    assert Compose([Two()])({}) == {"way": "at once"}
    assert Compose([Two()], exact=True)({}) == {"way": "by itself"}


def test_single_transforms_are_not_wrapped() -> None:
    transforms = [Resize(img_scale=(8, 8)), Collect(["img"]), Normalize([1.0], [1.0]), RandomFlip(0.5)]
    assert Compose(transforms).steps() == transforms
    exact = Compose(RECIPE, exact=True)
    assert exact.steps() is exact.transforms and len(exact.transforms) == 10
