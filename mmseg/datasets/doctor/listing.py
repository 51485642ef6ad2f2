"""The pairs of image and mask of each split of a config, also where some are missing."""

from __future__ import annotations

import copy
import inspect
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmseg.config.task import innermost_data_sets
from mmseg.datasets.builder import DATASETS, build_dataset
from mmseg.datasets.files import check_folder, columns_of, has_pairs, scan
from mmseg.utils.errors import UserError

SPLITS = ("train", "val", "test")


@dataclass
class Part:
    """One data set of a split, unwrapped.

    Attributes:
        split: 'train', 'val' or 'test'.
        where: Its place in the config, such as ``data.train.dataset``.
        dataset: The data set, built without its pipeline.
        section: What the config says of it.
        pairs: Paths of image and mask (None where the data set has no masks).
        lone_masks: Masks that have no image.
    """

    split: str
    where: str
    dataset: Any
    section: dict[str, Any]
    pairs: list[tuple[str, str | None]]
    lone_masks: list[str] = field(default_factory=list)

    @property
    def pipeline(self) -> list[dict[str, Any]]:
        """The transforms that the config gives it, as dictionaries."""
        return list(self.section.get("pipeline") or [])

    @property
    def num_classes(self) -> int:
        return len(self.dataset.CLASSES)

    def steps(self, *types: str) -> Iterator[dict[str, Any]]:
        """The transforms of these types, those inside of others too."""
        yield from _steps(self.pipeline, types)

    @property
    def image_step(self) -> dict[str, Any]:
        """The transform that reads images."""
        for step in _steps(self.pipeline, None):
            kind = step.get("type")
            if isinstance(kind, str) and kind.startswith("Load") and "Annotations" not in kind:
                return dict(step)
        return {"type": "LoadImageFromFile"}

    @property
    def mask_backend(self) -> str:
        """What reads the masks: 'pillow' or 'cv2'."""
        own = next(self.steps("LoadAnnotations"), {}).get("imdecode_backend")
        return own or getattr(self.dataset.gt_seg_map_loader, "imdecode_backend", "pillow")

    @property
    def reduce_zero_label(self) -> bool:
        """Whether 0 means ignored and classes count from 1, as training reads the masks."""
        step = next(self.steps("LoadAnnotations"), None)
        if step is None:
            return bool(self.dataset.gt_seg_map_loader.reduce_zero_label)
        return bool(step.get("reduce_zero_label", False))


def list_parts(data: Mapping[str, Any], splits: Sequence[str] = SPLITS) -> list[Part]:
    """List the data sets of ``splits``, each with its pairs.

    Images that a split file names and that do not exist are listed too, and so are images without mask.

    Args:
        data: The section ``data`` of a config.
        splits: Which of its data sets; those that the config lacks are left out.

    Raises:
        UserError: none of ``splits`` is there, or a data set cannot be built.
    """
    there = [split for split in splits if data.get(split)]
    if not there:
        raise UserError(
            f"the config has no data set for {', '.join(splits)}; `data` has: "
            f"{', '.join(s for s in SPLITS if data.get(s)) or 'none'}"
        )
    parts = []
    for split in there:
        section = copy.deepcopy(data[split])
        for where, part in innermost_data_sets(f"data.{split}", section):
            parts += _parts(split, where, dict(part))
    return parts


def _parts(split: str, where: str, section: dict[str, Any]) -> list[Part]:
    given = section
    section = {**section, "pipeline": [], "test_mode": True}  # so that a missing mask does not end it here
    with tempfile.TemporaryDirectory() as folder:
        section, missing = _without_missing(section, folder)
        built = build_dataset(section)
        parts = []
        for dataset in getattr(built, "datasets", [built]):
            if not all(hasattr(dataset, name) for name in ("img_infos", "img_dir", "ann_dir", "CLASSES")):
                raise UserError(
                    f"{where}: {type(dataset).__name__} has no img_infos, img_dir and ann_dir and cannot be "
                    "checked; derive it from CustomDataset"
                )
            if dataset.ann_dir is not None:
                check_folder(dataset.ann_dir, "ann_dir")
            pairs = [
                (
                    _path(dataset.img_dir, info["filename"]),
                    _path(dataset.ann_dir, info["ann"]["seg_map"]) if "ann" in info else None,
                )
                for info in dataset.img_infos
            ]
            lone = _lone_masks(dataset, {mask for _, mask in pairs if mask})
            parts.append(Part(split, where, dataset, given, pairs + missing, lone))
            missing = []
    return parts


def _without_missing(
    section: dict[str, Any], folder: str
) -> tuple[dict[str, Any], list[tuple[str, str | None]]]:
    """Take the lines of a split file whose image does not exist out of it, and return their pairs."""
    split, root = section.get("split"), section.get("data_root")
    path = os.path.join(root or "", split) if isinstance(split, str) else ""
    img_dir, ann_dir = (
        None if not isinstance(value, str) else os.path.join(root or "", value)
        for value in (_argument(section, "img_dir"), _argument(section, "ann_dir"))
    )
    if not os.path.isfile(path):
        return section, []  # the data set says what is wrong with it, if anything
    suffix, mask_suffix = _argument(section, "img_suffix"), _argument(section, "seg_map_suffix")
    in_pairs = has_pairs(path, img_dir, suffix)
    kept, missing = [], []
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip()]
    for line in lines:
        if in_pairs:
            columns = [os.path.join(root or "", column) for column in columns_of(line)]
            image, mask = columns if len(columns) == 2 else (None, None)
            whole = image is None or (os.path.isfile(image) and os.path.isfile(mask))
        else:
            image = os.path.join(img_dir or "", line + suffix)
            mask = None if ann_dir is None else os.path.join(ann_dir, line + mask_suffix)
            whole = os.path.isfile(image)
        if whole:
            kept.append(line)
        else:
            missing.append((os.path.normpath(image), mask and os.path.normpath(mask)))
    if not missing or not kept:
        return section, []
    shortened = os.path.join(folder, os.path.basename(path))
    with open(shortened, "w", encoding="utf-8") as file:
        file.write("\n".join(kept) + "\n")
    return {**section, "split": shortened}, missing


def _argument(section: Mapping[str, Any], name: str) -> Any:
    """An argument of a data set: the config's, or the default of its class or of one above it."""
    if name in section:
        return section[name]
    kind = section.get("type")
    entry = DATASETS.get(kind) if isinstance(kind, str) else kind
    for base in getattr(entry, "__mro__", ()):
        init = base.__dict__.get("__init__")
        parameter = init and inspect.signature(init).parameters.get(name)
        if parameter is not None and parameter.default is not inspect.Parameter.empty:
            return parameter.default
    return None


def _lone_masks(dataset: Any, used: set[str]) -> list[str]:
    """The masks of a data set's folder that no image goes with."""
    ann_dir, img_dir = dataset.ann_dir, dataset.img_dir
    suffix, mask_suffix = getattr(dataset, "img_suffix", ""), getattr(dataset, "seg_map_suffix", "")
    split = getattr(dataset, "split", None)
    if not ann_dir or not img_dir or not os.path.isdir(ann_dir) or not suffix or not mask_suffix:
        return []
    if split and os.path.isfile(split) and has_pairs(split, img_dir, suffix):
        return []  # pairs of any names: nothing tells which image a mask would belong to
    images = set(scan(img_dir, suffix))
    masks = (name for name in scan(ann_dir, mask_suffix))
    same = os.path.realpath(ann_dir) == os.path.realpath(img_dir)
    return sorted(
        _path(ann_dir, name)
        for name in masks
        if _path(ann_dir, name) not in used
        and name[: len(name) - len(mask_suffix)] + suffix not in images
        and not (same and name in images)
    )


def _steps(pipeline: Any, types: tuple[str, ...] | None) -> Iterator[dict[str, Any]]:
    if isinstance(pipeline, Mapping):
        if types is None or pipeline.get("type") in types:
            yield dict(pipeline)
        for value in pipeline.values():
            yield from _steps(value, types)
    elif isinstance(pipeline, list | tuple):
        for item in pipeline:
            yield from _steps(item, types)


def _path(folder: str | None, name: str) -> str:
    return os.path.normpath(os.path.join(folder or "", name))
