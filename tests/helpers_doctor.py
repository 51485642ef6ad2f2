"""A small data set, and one fault of each kind to plant in a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tests.helpers_run import tiny_config, write_config

SIZE = (40, 48)


def write_clean(root: Path, train: int = 14, val: int = 4) -> Path:
    """Write JPEG images and masks of three classes, no two alike; the third class is rare."""
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            rng = np.random.default_rng([split == "val", index])
            mask = np.zeros(SIZE, np.uint8)
            mask[:, 16:] = 1
            mask[30:34, 30 : 33 + index % 4] = 2
            mask[:2] = 255
            noise = rng.integers(0, 60, (*SIZE, 3))
            image = (noise + np.array([30, 90, 180])[np.minimum(mask, 2)][..., None]).astype(np.uint8)
            put(root, split, f"{index:03d}", image, mask)
    return root


def image_of(root: Path, split: str, stem: str) -> Path:
    return root / "img_dir" / split / f"{stem}.jpg"


def mask_of(root: Path, split: str, stem: str) -> Path:
    return root / "ann_dir" / split / f"{stem}.png"


def put(root: Path, split: str, stem: str, image: np.ndarray, mask: np.ndarray) -> None:
    for path, array in ((image_of(root, split, stem), image), (mask_of(root, split, stem), mask)):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), array)


def config_for(root: Path, path: Path, **sections: object) -> Path:
    """Write a config whose three splits are those of ``root``; ``test`` is ``val``."""
    config = tiny_config(root, **sections)
    for split in ("train", "val", "test"):
        config["data"][split]["img_suffix"] = ".jpg"
    return write_config(path, config)


def read_mask(root: Path, split: str, stem: str) -> np.ndarray:
    return cv2.imread(str(mask_of(root, split, stem)), cv2.IMREAD_UNCHANGED)


def write_mask(root: Path, split: str, stem: str, mask: np.ndarray) -> None:
    assert cv2.imwrite(str(mask_of(root, split, stem)), mask)


def _unreadable(root: Path) -> str:
    image_of(root, "train", "000").write_bytes(b"this is no picture" * 20)
    return "img_dir/train/000.jpg"


def _truncated(root: Path) -> str:
    path = image_of(root, "train", "001")
    path.write_bytes(path.read_bytes()[:-40])
    return "img_dir/train/001.jpg"


def _image_without_mask(root: Path) -> str:
    mask_of(root, "train", "002").unlink()
    return "img_dir/train/002.jpg"


def _mask_without_image(root: Path) -> str:
    image_of(root, "train", "003").unlink()
    return "ann_dir/train/003.png"


def _size_mismatch(root: Path) -> str:
    write_mask(root, "train", "004", read_mask(root, "train", "004")[::2, ::2])
    return "ann_dir/train/004.png"


def _rgb_mask(root: Path) -> str:
    mask = read_mask(root, "train", "005")
    write_mask(root, "train", "005", np.dstack([mask, mask * 3, mask]))
    return "ann_dir/train/005.png"


def _binary_mask(root: Path) -> str:
    mask = read_mask(root, "train", "006")
    write_mask(root, "train", "006", np.where(mask == 1, 255, 0).astype(np.uint8))
    return "ann_dir/train/006.png"


def _bad_value(root: Path) -> str:
    mask = read_mask(root, "train", "007")
    mask[5:8, 5:9] = 200
    write_mask(root, "train", "007", mask)
    return "ann_dir/train/007.png"


def _class_never_seen(root: Path) -> str:
    for path in (root / "ann_dir").rglob("*.png"):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if mask.ndim == 2:
            mask[mask == 2] = 1
            cv2.imwrite(str(path), mask)
    return "right"  # the name of class 2


def _duplicate(root: Path) -> str:
    for kind in (image_of, mask_of):
        shutil.copy(kind(root, "train", "008"), kind(root, "train", "twin"))
    return "img_dir/train/008.jpg"


def _leak(root: Path) -> str:
    # As a PNG file by the name of a JPEG: other bytes, the same pixels.
    pixels = cv2.imread(str(image_of(root, "train", "009")))
    image_of(root, "val", "again").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    shutil.copy(mask_of(root, "train", "009"), mask_of(root, "val", "again"))
    return "img_dir/val/again.jpg"


def _constant_image(root: Path) -> str:
    cv2.imwrite(str(image_of(root, "train", "010")), np.full((*SIZE, 3), 9, np.uint8))
    return "img_dir/train/010.jpg"


# Plants one fault and returns the file (or class) that it is about. The order matters for none of them.
FAULTS: dict[str, Callable[[Path], str]] = {
    "unreadable": _unreadable,
    "truncated": _truncated,
    "image_without_mask": _image_without_mask,
    "mask_without_image": _mask_without_image,
    "size_mismatch": _size_mismatch,
    "rgb_mask": _rgb_mask,
    "binary_mask": _binary_mask,
    "bad_value": _bad_value,
    "class_never_seen": _class_never_seen,
    "duplicate": _duplicate,
    "leak": _leak,
    "constant_image": _constant_image,
}
# Those for which training would fail, or read a damaged file.
FATAL = {"unreadable", "truncated", "image_without_mask", "size_mismatch", "rgb_mask", "bad_value"}
