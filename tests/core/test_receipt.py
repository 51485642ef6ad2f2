"""What is said of two receipts that differ, and counts in a file."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from mmseg.core.evaluation.receipt import (
    Counts,
    changed_inputs,
    compare_scores,
    other_place,
    pack_counts,
    read_counts,
    read_score_file,
    receipt_in,
    unpack_counts,
)
from mmseg.utils.errors import UserError


def counts(images: int = 6, classes: int = 3, seed: int = 0) -> Counts:
    matrices = np.random.default_rng(seed).integers(0, 4000, (images, classes, classes))
    rows = np.stack([matrices.diagonal(axis1=1, axis2=2), matrices.sum(1), matrices.sum(2)], axis=1)
    return Counts(list("abc"[:classes]), [f"{i}.png" for i in range(images)], rows, matrices.sum(0))


def moved(given: Counts, pixels: int) -> Counts:
    """``given`` with so many right pixels of its first image's class 0 predicted as class 1."""
    per_image, confusion = given.per_image.copy(), given.confusion.copy()
    per_image[0, 0, 0] -= pixels
    per_image[0, 1, :2] += [-pixels, pixels]
    confusion[0, :2] += [-pixels, pixels]
    return Counts(given.classes, given.images, per_image, confusion)


def test_counts_survive_a_file(tmp_path) -> None:
    path = tmp_path / "eval.json"
    given = counts()
    path.write_text(json.dumps({"receipt": {"counts": pack_counts(given)}}))
    back = read_counts(str(path))
    assert back.classes == given.classes and back.images == given.images
    assert np.array_equal(back.per_image, given.per_image) and back.per_image.dtype == np.int64
    assert np.array_equal(back.confusion, given.confusion)
    empty = Counts(["a"], [], np.zeros((0, 3, 1), np.int64))
    assert unpack_counts(pack_counts(empty), "x").per_image.shape == (0, 3, 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("per_image", "!"), ("per_image", "YQ=="), ("per_image", None),
        ("classes", ["a"]), ("images", ["a"]), ("confusion", [[1]]), ("confusion", 3),
    ],
)  # fmt: skip
def test_damaged_counts_are_refused(key, value) -> None:
    packed = {**pack_counts(counts()), key: value}
    with pytest.raises(UserError, match="the pixel counts in it are damaged"):
        unpack_counts(packed, "x.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "it is no JSON"),
        ("[1]", "holds no scores"),
        ('{"metric": {}}', "has no receipt"),
        ('{"receipt": {"format": 99}}', "damaged or of another version"),
        ('{"receipt": {"format": 1, "config": 3}}', "damaged or of another version"),
    ],
)
def test_files_without_a_receipt_are_refused(tmp_path, content, message) -> None:
    path = str(tmp_path / "x.json")
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=message):
        receipt_in(read_score_file(path), path)
    with pytest.raises(UserError, match="No such file"):
        read_score_file(path + "s")


def test_equal_counts_hold() -> None:
    holds, line = compare_scores(counts(), counts(), exact=True)
    assert holds and "are the same: all 9 counts" in line
    assert compare_scores(counts(), counts(), exact=False)[0]


def test_one_pixel_is_too_much_on_the_same_machine_and_allowed_on_another() -> None:
    given = counts()
    holds, line = compare_scores(given, moved(given, 1), exact=True)
    assert not holds and "in 1 images (0.png)" in line
    holds, line = compare_scores(given, moved(given, 1), exact=False)
    assert holds and "allowed here: 0.1 % and 0.2 points" in line


@pytest.mark.parametrize(("share", "holds"), [(0.0009, True), (0.0011, False)])
def test_tolerance_of_another_machine(share, holds) -> None:
    given = counts(images=2)
    pixels = int(share * given.confusion.sum())
    assert compare_scores(given, moved(given, pixels), exact=False)[0] == holds


def test_a_swap_between_images_that_leaves_the_sum_alone_is_seen() -> None:
    given = counts()
    per_image = given.per_image[::-1].copy()
    other = Counts(given.classes, given.images, per_image, given.confusion)
    assert not compare_scores(given, other, exact=True)[0]


def test_other_classes_or_fewer_images_do_not_hold() -> None:
    given = counts()
    assert not compare_scores(given, Counts(["x", "b", "c"], given.images, given.per_image), exact=False)[0]
    fewer = counts(images=5)
    assert not compare_scores(given, fewer, exact=False)[0]


def receipt() -> dict:
    part = {
        "kind": "CustomDataset", "img_dir": "img", "ann_dir": "ann",
        "images": {"0.png": "aa", "1.png": "bb"}, "masks": {"0.png": "cc", "1.png": "dd"},
    }  # fmt: skip
    tensors = {"backbone.w": "1", "decode_head.w": "2", "auxiliary_head.w": "3"}
    return {
        "weights": {"sha256": "", "tensors": tensors},
        "config": {"values": {"model.depth": "18", "data.test.data_root": "'data'"}},
        "data": {"names_sha256": "n", "contents_sha256": "c", "parts": [part]},
        "pipeline": {"sha256": "p"},
        "versions": {"torch": "2.6"},
        "machine": {"device": "cpu"},
    }


def altered(path: str, value) -> dict:
    new = copy.deepcopy(receipt())
    *keys, last = path.split("/")
    place = new
    for key in keys:
        place = place[int(key)] if isinstance(place, list) else place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return new


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("weights/tensors/backbone.w", "9", "weights changed: backbone.w (1 of 3 tensors)"),
        ("weights/tensors/auxiliary_head.w", "9", "weights changed: auxiliary_head.w (1 of 3 tensors)"),
        ("weights/tensors/backbone.w", None, "weights are missing: backbone.w (1 of 3 tensors)"),
        ("weights/tensors/x", "9", "weights are new: x (1 of 3 tensors)"),
        ("config/values/model.depth", "50", "config: model.depth was 18, is 50"),
        ("config/values/model.depth", None, "config: model.depth was 18, is not set"),
        ("config/values/x", "5", "config: x was not set, is 5"),
        ("data/parts/0/images/1.png", "9", "images of img changed: 1.png (1)"),
        ("data/parts/0/masks/1.png", "9", "masks of ann changed: 1.png (1)"),
        ("data/parts/0/images/1.png", "missing", "images of img cannot be read: 1.png (1)"),
        ("data/parts/0/images/1.png", None, "images of img are no longer in the list: 1.png (1)"),
        ("data/parts/0/images/2.png", "e", "images of img are new in the list: 2.png (1)"),
        ("data/parts/0/kind", "X", "the data set was a CustomDataset, is a X"),
        ("data/parts", [], "data.test was made of 1 data sets, is of 0"),
        ("data/names_sha256", "m", "the files of data.test are the same, but their order"),
        ("pipeline/sha256", "q", "the pipeline of data.test is another one"),
    ],
)
def test_what_changed_is_named(path, value, line) -> None:
    changed, notes = changed_inputs(receipt(), altered(path, value))
    assert len(changed) == 1 and changed[0].startswith(line) and notes == []


def test_what_plays_no_part_is_only_noted() -> None:
    assert changed_inputs(receipt(), receipt()) == ([], [])
    changed, notes = changed_inputs(receipt(), altered("weights/tensors/auxiliary_head.w", None))
    assert changed == [] and "play no part in testing: auxiliary_head.w" in notes[0]
    other = altered("config/values/data.test.data_root", "'elsewhere'")
    assert changed_inputs(receipt(), other, moved=["data.test.data_root"]) == ([], [])
    assert changed_inputs(receipt(), other)[0] == ["config: data.test.data_root was 'data', is 'elsewhere'"]


def test_without_hashes_of_contents_only_names_are_compared() -> None:
    light = altered("data/contents_sha256", "")
    changed, notes = changed_inputs(light, altered("data/parts/0/images/1.png", "9"))
    assert changed == [] and "only their names are compared" in notes[0]


def test_another_place_is_told() -> None:
    assert other_place(receipt(), receipt()) == []
    assert other_place(receipt(), altered("versions/torch", "2.7")) == ["torch: was 2.6, is 2.7"]
    assert other_place(receipt(), altered("machine/device", "cuda")) == ["device: was cpu, is cuda"]
