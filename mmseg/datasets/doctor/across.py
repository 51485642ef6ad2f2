"""Findings that need many files, or the config: duplicates, leaks, lone masks, classes never seen."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from mmseg.datasets.doctor.facts import Facts
from mmseg.datasets.doctor.findings import ERROR, NOTE, WARNING, Finding
from mmseg.datasets.doctor.listing import Part

# Pictures by their content: hash of the pixels -> path -> hash of the mask (None without).
Contents = dict[str, dict[str, str | None]]


def contents(pairs: Sequence[tuple[str, str | None, Facts, Facts | None]]) -> Contents:
    """Group the images of a split by content. Those of one single value are left out: they say nothing."""
    found: Contents = defaultdict(dict)
    for image, _, seen, truth in pairs:
        if "hash" in seen and not seen["constant"]:
            found[seen["hash"]][image] = (truth or {}).get("hash")
    return found


def duplicates(split: str, groups: Contents) -> Iterator[Finding]:
    """Give the images of one split that show exactly the same under several names."""
    for paths in groups.values():
        files = _distinct(paths)
        if len(files) > 1:
            value = f"{len(files)} files with the same pixels"
            remedy = "keep one of them"
            if len({paths[file] for file in files}) > 1:
                value += ", but different masks"
                remedy = "keep one of them, with the mask that is right"
            yield Finding(
                "duplicate", WARNING, (split,), files[0], value, len(files), remedy, tuple(files[1:])
            )


def leaks(splits: Mapping[str, Contents]) -> Iterator[Finding]:
    """Give the images that two splits share; the same file in val and test is usual and left out."""
    for one, other in combinations(splits, 2):
        for key in splits[one].keys() & splits[other].keys():
            mine, its = list(splits[one][key]), list(splits[other][key])
            same_files = {os.path.realpath(p) for p in mine} == {os.path.realpath(p) for p in its}
            if one != "train" and same_files:
                continue
            what = "the same file" if same_files else "the same pixels"
            # A leak counts once, under the file that should go: that of the split that measures.
            yield Finding(
                "leak",
                WARNING if one == "train" else NOTE,
                (one, other),
                its[0],
                f"{what} is in {one} and in {other}" if same_files else f"{what} are in {one} and in {other}",
                len(mine) + len(its),
                f"take it out of {one} or {other}: scores on images of the training are too good"
                if one == "train"
                else f"take it out of {one} or {other}",
                tuple(mine + its[1:]) if not same_files else tuple(mine[1:]),
            )


def lone_masks(part: Part) -> Iterator[Finding]:
    """Give the masks that no image goes with."""
    suffix, mask_suffix = part.dataset.img_suffix, part.dataset.seg_map_suffix
    for mask in part.lone_masks:
        stem = os.path.relpath(mask, part.dataset.ann_dir)[: -len(mask_suffix)]
        image = os.path.normpath(os.path.join(part.dataset.img_dir, stem + suffix))
        value, remedy = f"there is no {image}", "add the image, or remove the mask"
        other = next((e for e in _ENDINGS if os.path.isfile(os.path.splitext(image)[0] + e)), None)
        if other is not None:
            value += f", but one that ends in {other}"
            remedy = f"`img_suffix` is {suffix!r}: give all images the same ending"
        yield Finding("mask_without_image", WARNING, (part.split,), mask, value, 1, remedy, (image,))


def never_seen(split: str, names: Sequence[str], pixels: np.ndarray) -> Iterator[Finding]:
    """Give the classes that no mask of a split has a pixel of."""
    for index in np.flatnonzero(pixels == 0):
        value = f"class {index} has no pixel in any mask of {split}"
        if split == "train":
            remedy = "it cannot be learnt: add images that show it, correct the masks, or leave the class out"
        else:
            remedy = "it has no score: add images that show it, or leave the class out"
        severity = WARNING if split == "train" else NOTE
        yield Finding("class_never_seen", severity, (split,), str(names[index]), value, 0, remedy)


def contradictions(part: Part) -> Iterator[Finding]:
    """Give what the config says twice, and differently."""
    step = next(part.steps("LoadAnnotations"), None)
    own = bool(part.dataset.gt_seg_map_loader.reduce_zero_label)
    if step is not None and bool(step.get("reduce_zero_label", False)) != own:
        value = f"LoadAnnotations has reduce_zero_label={not own}, the data set {own}"
        remedy = "set both alike: the first is for training, the second for scores"
        yield Finding("reduce_zero_label", WARNING, (part.split,), part.where, value, 1, remedy)


def heads(model: Mapping[str, Any] | None, part: Part) -> Iterator[Finding]:
    """Give the heads of a config that predict another number of classes than the data set has."""
    for name in ("decode_head", "auxiliary_head"):
        section = (model or {}).get(name)
        several = isinstance(section, list | tuple)
        for i, head in enumerate(section if several else [section]):
            number = head.get("num_classes") if isinstance(head, Mapping) else None
            if number is not None and number != part.num_classes:
                where = f"model.{name}.{i}.num_classes" if several else f"model.{name}.num_classes"
                value = f"it is {number}, but {type(part.dataset).__name__} has {part.num_classes} classes"
                remedy = f"set {where}={part.num_classes}"
                yield Finding("num_classes", ERROR, (part.split,), where, value, 1, remedy)


_ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".tif", ".tiff", ".webp")


def _distinct(paths: Mapping[str, Any]) -> list[str]:
    """The paths without those that lead to the same file, sorted."""
    return list({os.path.realpath(path): path for path in sorted(paths, reverse=True)}.values())[::-1]
