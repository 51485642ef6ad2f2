"""Cityscapes: masks of train ids beside the annotations, and lists of the frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mmseg.conversion.draft import Draft
from mmseg.conversion.label_ids import train_id_table
from mmseg.conversion.masks import Mismatch, check_size, look_up, place, read_mask, save_mask
from mmseg.conversion.pairs import Pair, by_stem, find_root, match, need_folder
from mmseg.conversion.work import convert_all
from mmseg.utils.errors import UserError

IMAGES, IMAGE_SUFFIX = "leftImg8bit", "_leftImg8bit.png"
INSTALL = 'pip install -e ".[cityscapes]"'


def convert_cityscapes(
    sources: Sequence[Path],
    out_dir: Path | None = None,
    *,
    gt_dir: str = "gtFine",
    nproc: int = 1,
) -> dict[str, int]:
    """Write ``gtFine/SPLIT/CITY/*_gtFine_labelTrainIds.png`` and ``SPLIT.txt`` for every split.

    A mask is made from ``*_labelIds.png``, or, where there is none, from ``*_polygons.json`` through
    cityscapesScripts; both give the same pixels.

    Args:
        sources: The folder that holds ``leftImg8bit`` and ``gtFine``, or the official archives.
        out_dir: The configs' ``data_root``. None is the folder itself: nothing is copied then.
        gt_dir: Folder of the annotations, ``gtFine`` or ``gtCoarse``.
        nproc: Processes.

    Returns:
        The number of frames of each split.

    Raises:
        UserError: an image and its annotation do not match (each is named), or a path is wrong. ``out_dir``
            is as it was then.
    """
    in_place = len(sources) == 1 and sources[0].is_dir()
    root = (find_root(sources[0], gt_dir) or sources[0]) if in_place else None
    target = out_dir or root
    if target is None:
        raise UserError("give --out-dir, the folder that the archives are to be unpacked into")
    with Draft(target) as draft:
        folders, unpacked = draft.sources(sources)
        in_place = root is not None and target.resolve() == root.resolve()
        images, annotations = (_find(folders, name) for name in (IMAGES, gt_dir))
        pairs = _pairs(images, annotations, gt_dir)
        work = partial(_convert, new=draft.new, gt_dir=gt_dir, copy=not in_place, move=unpacked)
        convert_all(work, pairs, nproc, "converting Cityscapes")
        counts: dict[str, int] = {}
        for split in dict.fromkeys(pair.split for pair in pairs):
            names = [pair.name.removeprefix(f"{split}/") for pair in pairs if pair.split == split]
            (draft.new / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
            counts[split] = len(names)
        draft.commit()
    return counts


def _find(folders: Sequence[Path], name: str) -> Path:
    for folder in folders:
        root = find_root(folder, name)
        if root is not None:
            return root / name
    raise UserError(
        f"there is no folder {name} in {', '.join(map(str, folders))}; "
        "Cityscapes needs both downloads, leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip"
    )


def _pairs(images: Path, annotations: Path, gt_dir: str) -> list[Pair]:
    pairs = []
    for split in sorted(p.name for p in annotations.iterdir() if p.is_dir() and not p.name.startswith(".")):
        photos = by_stem(
            need_folder(images / split, f"the images of {gt_dir}/{split}"), IMAGE_SUFFIX, deep=True
        )
        # Masks of label ids take precedence: reading them is quicker than drawing polygons.
        found = by_stem(annotations / split, f"_{gt_dir}_polygons.json", deep=True)
        found |= by_stem(annotations / split, f"_{gt_dir}_labelIds.png", deep=True)
        pairs += [Pair(f"{split}/{p.name}", p.image, p.mask, split) for p in match(photos, found)]
    if not pairs:
        raise UserError(f"{annotations} holds no SPLIT/CITY/*_{gt_dir}_labelIds.png or *_polygons.json")
    return pairs


def _convert(pair: Pair, new: Path, gt_dir: str, copy: bool, move: bool) -> None:
    if pair.mask.suffix == ".json":
        mask = draw_polygons(pair.mask)
    else:
        mask = look_up(read_mask(pair.mask), train_id_table(), pair.mask)
    check_size(pair.image, mask)
    save_mask(mask, new / gt_dir / f"{pair.name}_{gt_dir}_labelTrainIds.png")
    if copy:
        place(pair.image, new / IMAGES / f"{pair.name}{IMAGE_SUFFIX}", move)
        stem = f"{Path(pair.name).name}_{gt_dir}_"
        for kind in ("labelIds.png", "instanceIds.png", "polygons.json"):  # for the official scores
            path = pair.mask.with_name(stem + kind)
            if path.exists():
                place(path, new / gt_dir / f"{pair.name}_{gt_dir}_{kind}", move)


def draw_polygons(path: Path) -> np.ndarray:
    """Draw the train ids, uint8 (H, W), of a ``*_polygons.json`` file.

    Raises:
        UserError: cityscapesScripts is not installed.
        Mismatch: the file is damaged, or names a class that Cityscapes does not have.
    """
    try:
        from cityscapesscripts.helpers.annotation import Annotation
        from cityscapesscripts.preparation.json2labelImg import createLabelImage
    except ImportError as error:
        raise UserError(
            f"{path} has no labelIds.png beside it, and drawing its polygons needs cityscapesScripts "
            f"({error}): {INSTALL}"
        ) from None
    try:
        annotation = Annotation()
        annotation.fromJsonText(path.read_text(encoding="utf-8"))
        return np.array(createLabelImage(annotation, "trainIds"))
    except (OSError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Mismatch(f"cannot read {path}: {type(error).__name__} {error}") from None
    except SystemExit:  # its way to report an unknown class
        raise Mismatch(f"{path} names a class that Cityscapes does not have") from None
