"""Miniatures of the official downloads of data sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (20, 12)  # (w, h)


def save(path: Path, array: np.ndarray) -> Path:
    """Write an image (H, W, 3) or a mask (H, W), making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def photo(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A noisy picture, (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def labels(seed: int, values: Sequence[int], size: tuple[int, int] = SIZE) -> np.ndarray:
    """A mask (H, W) of ``values``, in which each occurs where there is room."""
    mask = np.random.default_rng(seed).choice(np.array(values, np.uint8), (size[1], size[0]))
    mask.flat[: len(values)] = values[: mask.size]
    return mask


def write_kitti(root: Path, count: int = 8, tests: int = 0) -> Path:
    """``data_semantics``: every label id occurs in every mask."""
    for i in range(count):
        save(root / "training/image_2" / f"{i:06d}_10.png", photo(i))
        save(root / "training/semantic" / f"{i:06d}_10.png", labels(i, range(34)))
        save(root / "training/semantic_rgb" / f"{i:06d}_10.png", photo(i))
    for i in range(tests):
        save(root / "testing/image_2" / f"{i:06d}_10.png", photo(100 + i))
    return root


def write_cityscapes(root: Path, splits: Sequence[str] = ("train", "val"), polygons: bool = True) -> Path:
    """Two frames of each split, with every kind of annotation."""
    for s, split in enumerate(splits):
        for i in range(2):
            stem = f"{split}/aachen/aachen_00000{s}_00000{i}"
            save(root / f"leftImg8bit/{stem}_leftImg8bit.png", photo(i))
            ground = root / f"gtFine/{stem}_gtFine_"
            mask = np.zeros(SIZE[::-1], np.uint8)
            mask[2:6, 3:10], mask[8:, :5] = 26, 7  # a car, some road
            save(Path(f"{ground}labelIds.png"), mask)
            save(Path(f"{ground}instanceIds.png"), np.where(mask == 26, 26001, mask.astype(np.uint16)))
            if polygons:
                shapes = {"car": (3, 2, 9, 5), "road": (0, 8, 4, 11), "license plate": (4, 3, 5, 4)}
                objects = [
                    dict(label=name, polygon=[[x, y], [u, y], [u, v], [x, v]])
                    for name, (x, y, u, v) in shapes.items()
                ]
                text = json.dumps(dict(imgWidth=SIZE[0], imgHeight=SIZE[1], objects=objects))
                Path(f"{ground}polygons.json").write_text(text)
    return root


def write_camvid(root: Path, names: Sequence[str], colours: np.ndarray) -> Path:
    """The official folders; every one of ``colours`` (N, 3) occurs in every mask."""
    for i, name in enumerate(names):
        save(root / f"701_StillsRaw_full/{name}.png", photo(i))
        save(root / f"LabeledApproved_full/{name}_L.png", colours[labels(i, range(len(colours)))])
    return root


def write_voc(root: Path, train: Sequence[str], val: Sequence[str], others: Sequence[str]) -> Path:
    """``VOCdevkit``: images of all, palette masks of ``train`` and ``val``."""
    voc = root / "VOC2012"
    for i, name in enumerate((*train, *val, *others)):
        (voc / "JPEGImages").mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(i)).save(voc / f"JPEGImages/{name}.jpg")
    for i, name in enumerate((*train, *val)):
        mask = Image.fromarray(labels(i, [*range(21), 255]))
        mask.putpalette([(7 * v) % 256 for v in range(768)])
        (voc / "SegmentationClass").mkdir(exist_ok=True)
        mask.save(voc / f"SegmentationClass/{name}.png")
    (voc / "ImageSets/Segmentation").mkdir(parents=True)
    (voc / "ImageSets/Segmentation/train.txt").write_text("\n".join(train) + "\n")
    (voc / "ImageSets/Segmentation/val.txt").write_text("\n".join(val) + "\n")
    return root


def write_sbd(root: Path, train: Sequence[str], val: Sequence[str]) -> Path:
    """``benchmark_RELEASE``: ``.mat`` files as MATLAB wrote them, a structure with a field of masks."""
    from scipy.io import savemat

    folder = root / "dataset"
    (folder / "cls").mkdir(parents=True)
    for i, name in enumerate((*train, *val)):
        fields = dict(Segmentation=labels(50 + i, range(21)), CategoriesPresent=np.arange(1, 21.0))
        savemat(folder / f"cls/{name}.mat", dict(GTcls=fields), do_compression=bool(i % 2))
    (folder / "train.txt").write_text("\n".join(train) + "\n")
    (folder / "val.txt").write_text("\n".join(val) + "\n")
    return root


def write_ade(root: Path) -> Path:
    """``ADEChallengeData2016``."""
    for split, word in (("training", "train"), ("validation", "val")):
        for i in range(2):
            name = f"ADE_{word}_{i:08d}"
            (root / f"images/{split}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo(i)).save(root / f"images/{split}/{name}.jpg")
            save(root / f"annotations/{split}/{name}.png", labels(i, range(151)))
    (root / "objectInfo150.txt").write_text("Idx\n")
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Every file below ``root``, hidden ones too, with its bytes."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def pixels(path: Path) -> np.ndarray:
    """The values of an image file."""
    return np.array(Image.open(path))
