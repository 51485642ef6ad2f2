"""What is found in whole data sets, and what the config patch makes of it."""

from __future__ import annotations

import os
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest

from mmseg.apis.check_dataset import data_config
from mmseg.datasets import build_dataset
from mmseg.datasets.doctor.fixes import find_fix
from mmseg.datasets.doctor.labels import BAD, IGNORED, Meaning
from mmseg.datasets.doctor.listing import list_parts
from mmseg.datasets.doctor.patch import crop_size, write_patch
from mmseg.datasets.doctor.report import examine
from mmseg.utils.errors import UserError
from tests.helpers_doctor import (
    FATAL,
    FAULTS,
    SIZE,
    config_for,
    image_of,
    mask_of,
    read_mask,
    write_clean,
    write_mask,
)


@pytest.fixture
def root(tmp_path):
    return write_clean(tmp_path / "data")


@pytest.fixture
def look(root, tmp_path):
    """Examine the data set, with changes to the config; gives the config too."""

    def call(splits=("train", "val", "test"), **options):
        path = config_for(root, tmp_path / "tiny.py")
        cfg = data_config(str(path), options)
        return cfg, examine(list_parts(cfg["data"], splits), cfg["model"], jobs=2)

    return call


def both(**settings):
    return {f"data.{s}.{key}": value for s in ("train", "val", "test") for key, value in settings.items()}


def patched(cfg, result, root):
    """Read the config patch as a user would."""
    base, path = root.parent / "tiny.py", root.parent / "work" / "patch.py"
    cfg.dump(str(base))
    path.parent.mkdir(exist_ok=True)
    path.write_text(write_patch(cfg, result.splits, str(base), str(path)))
    return data_config(str(path)), path.read_text()


def test_nothing_is_wrong_with_a_clean_one(look):
    _, result = look()
    assert result.findings == []
    train, val, test = (result.splits[s] for s in ("train", "val", "test"))
    assert (train.pairs, val.pairs, test.same_as) == (14, 4, "val")
    assert train.sizes == {SIZE[::-1]: 14}
    assert result.files == 36


@pytest.mark.parametrize("kind", FAULTS)
def test_one_fault_is_found_and_nothing_else(kind, look, root):
    about = FAULTS[kind](root)
    _, result = look()
    worst = result.findings[0]
    assert worst.kind == kind and worst.file.endswith(about)
    assert worst.remedy and worst.value
    assert worst.severity == ("error" if kind in FATAL else "warning")
    assert bool(result.errors) is (kind in FATAL)
    # A class that train lacks is lacking in val as well here; otherwise one fault, one finding.
    assert len(result.findings) == (2 if kind == "class_never_seen" else 1), result.findings


def test_all_of_them_at_once_worst_first(look, root):
    expected = {kind: plant(root) for kind, plant in FAULTS.items()}
    _, result = look()
    found = {f.kind: f for f in reversed(result.findings)}
    assert found.keys() == expected.keys()
    assert all(found[kind].file.endswith(about) for kind, about in expected.items())
    order = [f.severity for f in result.findings]
    assert order == sorted(order, key=["error", "warning", "note"].index) and order[0] == "error"


def test_counts_are_those_of_the_masks(look, root):
    _, result = look()
    expected, images = Counter(), Counter()
    for i in range(14):
        mask = read_mask(root, "train", f"{i:03d}")
        expected.update(mask.ravel().tolist())
        images.update(np.unique(mask).tolist())
    split = result.splits["train"]
    assert split.pixels.tolist() == [expected[0], expected[1], expected[2]]
    assert split.images.tolist() == [images[0], images[1], images[2]]
    assert split.ignored == expected[255] and split.values == expected
    every = np.concatenate(
        [cv2.imread(str(image_of(root, "train", f"{i:03d}"))).reshape(-1, 3) for i in range(14)]
    )
    np.testing.assert_allclose(split.mean, every.mean(0)[::-1])
    np.testing.assert_allclose(split.std, every.std(0)[::-1])
    assert split.as_json()["classes"][2]["share"] == expected[2] / sum(expected[c] for c in range(3))


def test_a_split_file_that_names_what_is_not_there(look, root):
    (root / "some.txt").write_text("000\n001\ngone\n002\n")
    _, result = look(splits=["train"], **{"data.train.split": "some.txt"})
    assert [(f.kind, os.path.basename(f.file)) for f in result.findings] == [("missing_image", "gone.jpg")]
    assert result.splits["train"].pairs == 4

    pairs = [f"img_dir/train/00{i}.jpg ann_dir/train/00{i}.png" for i in range(3)]
    (root / "some.txt").write_text("\n".join([*pairs, "img_dir/train/004.jpg ann_dir/train/lost.png"]))
    _, result = look(splits=["train"], **{"data.train.split": "some.txt"})
    assert [f.kind for f in result.findings] == ["image_without_mask"]
    assert result.findings[0].others[0].endswith("lost.png")


def test_masks_of_other_splits_are_not_lone(look, root):
    (root / "some.txt").write_text("000\n001\n")
    _, result = look(splits=["train"], **{"data.train.split": "some.txt"})
    assert result.findings == []


def test_an_image_of_another_ending(look, root):
    os.rename(image_of(root, "train", "003"), image_of(root, "train", "003").with_suffix(".png"))
    _, result = look()
    (finding,) = result.findings
    assert finding.kind == "mask_without_image" and "one that ends in .png" in finding.value


def test_duplicates_with_different_masks(look, root):
    shutil.copy(image_of(root, "train", "001"), image_of(root, "train", "zwei"))
    shutil.copy(mask_of(root, "train", "002"), mask_of(root, "train", "zwei"))
    shutil.copy(image_of(root, "train", "001"), image_of(root, "train", "zzz"))
    shutil.copy(mask_of(root, "train", "001"), mask_of(root, "train", "zzz"))
    _, result = look()
    (finding,) = result.findings
    assert finding.count == 3 and "different masks" in finding.value and len(finding.others) == 2


def test_the_same_folder_twice_is_a_leak(look):
    _, result = look(**{"data.val.img_dir": "img_dir/train", "data.val.ann_dir": "ann_dir/train"})
    leaks = [f for f in result.findings if f.kind == "leak"]
    assert {f.splits for f in leaks} == {("train", "val")} and len(leaks) == 14
    assert all("the same file" in f.value for f in leaks)


def test_nested_and_joined_data_sets(look):
    cfg, _ = look(splits=["val"])
    inner = dict(cfg["data"]["train"])
    cfg["data"]["train"] = dict(type="RepeatDataset", times=3, dataset=dict(inner))
    two = {**inner, "img_dir": ["img_dir/train", "img_dir/val"], "ann_dir": ["ann_dir/train", "ann_dir/val"]}
    cfg["data"]["val"] = two
    parts = list_parts(cfg["data"], ["train", "val"])
    assert [(p.where, len(p.pairs)) for p in parts] == [
        ("data.train.dataset", 14),
        ("data.val", 14),
        ("data.val", 4),
    ]
    assert examine(parts).splits["val"].pairs == 18


def test_a_test_set_without_masks(look, root):
    shutil.rmtree(root / "ann_dir" / "val")
    _, result = look(splits=["train", "test"], **{"data.test.ann_dir": None})
    assert result.findings == [] and result.splits["test"].masks == 0


def test_mistakes_of_the_config(look, root):
    with pytest.raises(UserError, match="`ann_dir` .* does not exist"):
        look(**{"data.train.ann_dir": "elsewhere"})
    with pytest.raises(UserError, match="the config has no data set for test; `data` has: train, val"):
        look(splits=["test"], **{"data.test": None})


def test_heads_and_switches_that_contradict_the_data(look):
    _, result = look(**{"model.decode_head.num_classes": 19, "data.train.reduce_zero_label": True})
    kinds = [f.kind for f in result.findings if f.kind in ("num_classes", "reduce_zero_label")]
    assert kinds == ["num_classes", "reduce_zero_label"]
    head = next(f for f in result.findings if f.kind == "num_classes")
    assert head.file == "model.decode_head.num_classes" and head.splits == ("train", "val")
    assert head.severity == "error" and "it is 19" in head.value


def test_a_picture_turned_by_exif(look, root):
    from PIL import Image

    path = image_of(root, "train", "003")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)
    _, result = look()
    assert "color_ignore_orientation" in result.findings[0].remedy
    option = {"data.train.pipeline.0.color_type": "color_ignore_orientation"}
    assert look(**option)[1].findings == []


@pytest.mark.parametrize(
    ("meaning", "values", "classes"),
    [
        (Meaning(3, 3, 255), [0, 2, 3, 255, 300], [0, 2, BAD, IGNORED, BAD]),
        (Meaning(3, 3, 255, reduce_zero_label=True), [0, 1, 3, 4, 255], [IGNORED, 0, 2, BAD, IGNORED]),
        (Meaning(2, 3, 255, label_map=((0, -1), (1, 1), (2, 0))), [0, 1, 2, 3], [IGNORED, 1, 0, BAD]),
        (Meaning(2, 2, 255, binary=True), [0, 1, 255, 7], [0, 1, 1, BAD]),
        (Meaning(2, 2, 7, binary=True), [0, 255, 7], [0, 1, IGNORED]),
        (Meaning(3, 3, 9), [9, 255], [IGNORED, BAD]),
    ],
)
def test_meanings_are_those_of_the_loader(meaning, values, classes):
    from mmseg.datasets.pipelines.masks import to_binary, to_classes

    assert [meaning.of_value(v) for v in values] == classes
    for value, label in zip(values, classes, strict=True):
        mask = np.full((2, 2), value, np.uint16 if value > 255 else np.uint8)

        def load(mask=mask):
            if meaning.binary:
                return to_binary(mask, "m.png", meaning.ignore_index)
            return to_classes(
                mask,
                "m.png",
                meaning.num_classes,
                meaning.ignore_index,
                meaning.reduce_zero_label,
                dict(meaning.label_map),
            )

        if label == BAD:
            with pytest.raises(UserError):
                load()
        else:
            ignored = 255 if meaning.binary else meaning.ignore_index
            assert set(np.unique(load())) == {ignored if label == IGNORED else label}


@pytest.mark.parametrize(
    ("classes", "values", "kind"),
    [
        (3, {0, 1, 2, 255}, None),
        (2, {0, 255}, "binary"),
        (3, {1, 2, 3}, "reduce_zero_label"),
        (3, {0, 1, 2, 3}, "ignore_index"),
        (3, {0, 1, 2, 200, 255}, "label_map"),
        (3, {0, 127, 254}, "label_map"),
        (19, {7, 8, 26, 0}, "label_map"),
        (3, {0, 700}, None),
    ],
)
def test_guesses(classes, values, kind):
    fix = find_fix(Meaning(classes, classes, 255), Counter(dict.fromkeys(values, 5)))
    assert (fix and fix.kind) == kind


def test_the_patch_of_a_clean_one(look, root):
    cfg, result = look()
    new, text = patched(cfg, result, root)
    weights = new["model"]["decode_head"]["loss_decode"]["class_weight"]
    assert sum(weights) == pytest.approx(3) and weights[2] > weights[0] > weights[1]
    assert new["crop_size"] == (32, 32) and "the config's own fits" in text
    assert new["model"]["decode_head"]["ignore_index"] == 255
    assert new["data"]["train"] == cfg["data"]["train"]
    assert "#     0: 0 left" in text and "#     255: ignored" in text


def change(root, function):
    for split in ("train", "val"):
        for path in (root / "ann_dir" / split).iterdir():
            write_mask(root, split, path.stem, function(read_mask(root, split, path.stem)))


CODINGS = {
    "label_map": lambda mask: np.where(mask == 255, 255, mask * 100).astype(np.uint8),
    "ignore_index": lambda mask: np.where(mask == 255, 3, mask).astype(np.uint8),
    "reduce_zero_label": lambda mask: np.where(mask == 255, 255, mask + 1).astype(np.uint8),
}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_patch_makes_the_masks_usable(coding, look, root):
    _, before = look()
    change(root, CODINGS[coding])
    cfg, result = look()
    assert {f.kind for f in result.errors} == {"bad_value"}
    new, text = patched(cfg, result, root)
    assert "a guess, look at it" in text
    after = examine(list_parts(new["data"]), new["model"])
    assert after.errors == []
    assert after.splits["train"].pixels.tolist() == before.splits["train"].pixels.tolist()
    ignored = 3 if coding == "ignore_index" else 255
    assert new["model"]["decode_head"]["ignore_index"] == ignored
    train, val = build_dataset(new["data"]["train"]), build_dataset(new["data"]["val"])
    labels = {int(v) for i in range(len(train)) for v in np.unique(train[i]["gt_semantic_seg"])}
    assert labels <= {0, 1, 2, ignored} and {0, 1} <= labels
    assert set(np.unique(val.get_gt_seg_map_by_idx(0))) == {0, 1, 2, ignored}


def test_the_patch_of_black_and_white_masks(look, root):
    change(root, lambda mask: np.where(mask == 1, 255, 0).astype(np.uint8))
    names = both(classes=["back", "front"], palette=[[0, 0, 0], [9, 9, 9]])
    cfg, result = look(**names, **{"model.decode_head.num_classes": 2})
    assert {f.kind for f in result.errors} == {"binary_mask"} and len(result.errors) == 18
    assert "task = 'binary'" in result.errors[0].remedy
    new, _ = patched(cfg, result, root)
    assert new["task"] == "binary"
    after = examine(list_parts(new["data"]), new["model"])
    assert after.findings == [] and after.splits["train"].pixels.min() > 0


def test_a_crop_that_no_image_fills(look, root):
    cfg, result = look(
        **{"data.train.pipeline.3.crop_size": (64, 96), "data.train.pipeline.7.size": (64, 96)}
    )
    part, split = result.splits["train"].parts[0], result.splits["train"]
    assert crop_size(part, split) == ((32, 32), False)
    new, _ = patched(cfg, result, root)
    pipeline = new["data"]["train"]["pipeline"]
    assert pipeline[3]["crop_size"] == pipeline[7]["size"] == new["crop_size"] == (32, 32)


def test_the_patch_of_several_losses(look, root):
    loss = dict(type="CrossEntropyLoss", loss_weight=0.5)
    cfg, result = look(**{"model.decode_head.loss_decode": [loss, dict(type="DiceLoss")]})
    new, _ = patched(cfg, result, root)
    first, second = new["model"]["decode_head"]["loss_decode"]
    assert len(first["class_weight"]) == 3 and first["loss_weight"] == 0.5 and "class_weight" not in second
