"""The files that a data set reads, for receipts of scores and for splits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FileList:
    """Files of one data set, in its order.

    Attributes:
        kind: Name of the data set's class.
        img_dir, ann_dir: Folders that the names start from.
        images: Names of the images.
        masks: Names of the masks; empty for a data set without.
        pipeline: What the data set does to an image, as text.
    """

    kind: str
    img_dir: str
    ann_dir: str
    images: list[str]
    masks: list[str]
    pipeline: str

    def image_paths(self) -> list[str]:
        return [os.path.join(self.img_dir, name) for name in self.images]

    def mask_paths(self) -> list[str]:
        return [os.path.join(self.ann_dir, name) for name in self.masks]


def leaves(dataset: Any) -> Iterator[Any]:
    """The data sets that a data set is made of, from left to right; itself, where it is made of none."""
    inner = list(getattr(dataset, "datasets", ()))
    if hasattr(dataset, "dataset"):
        inner.append(dataset.dataset)
    if not inner:
        yield dataset
    for part in inner:
        yield from leaves(part)


def file_lists(dataset: Any) -> list[FileList]:
    """One list per data set that reads files; one of another kind has empty lists."""
    lists = []
    for leaf in leaves(dataset):
        infos = getattr(leaf, "img_infos", None) or []
        masks = [str(info["ann"]["seg_map"]) for info in infos if (info.get("ann") or {}).get("seg_map")]
        lists.append(
            FileList(
                kind=type(leaf).__name__,
                img_dir=str(getattr(leaf, "img_dir", None) or ""),
                ann_dir=str(getattr(leaf, "ann_dir", None) or ""),
                images=[str(info["filename"]) for info in infos],
                masks=masks,
                pipeline=repr(getattr(leaf, "pipeline", None)),
            )
        )
    return lists
