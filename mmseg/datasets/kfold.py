"""Splits for k-fold cross-validation of a data set in files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.config.task import innermost_data_sets
from mmseg.datasets.builder import build_dataset
from mmseg.datasets.custom import CustomDataset
from mmseg.utils.errors import UserError


def folds_of(names: Sequence[str], folds: int, seed: int = 0) -> list[list[str]]:
    """Deal ``names`` to ``folds`` folds whose sizes differ by one at most; each name gets into one of them.

    Only the names and ``seed`` decide, not the order of the names, the version of numpy or the machine.

    Raises:
        UserError: fewer than two folds, or fewer names than folds.
    """
    if not 2 <= folds <= len(names):
        raise UserError(
            f"--folds {folds}: it is a number from 2 to that of the images, which is {len(names)} here"
        )
    assert len(set(names)) == len(names), "names come from the keys of a dictionary"
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}\n{name}".encode()).digest())
    return [sorted(order[i::folds]) for i in range(folds)]


def samples_of(cfg: Mapping[str, Any], *, with_val: bool = False) -> dict[str, str]:
    """List the samples of ``data.train``, and with ``with_val`` those of ``data.val`` too.

    Returns:
        By name of the sample the line that a split file has to hold for it: the name without suffix, or
        the paths of image and mask with a tab between.

    Raises:
        UserError: the data is joined of several data sets, of another kind than files, or names a sample
            twice.
    """
    lines: dict[str, str] = {}
    paths: set[str] = set()
    for split in ("train", "val") if with_val else ("train",):
        dataset = _plain(cfg, split)
        pairs = with_val or _has_pairs(dataset)
        for info in dataset.img_infos:
            name = info["filename"]
            image = os.path.abspath(os.path.join(dataset.img_dir, name))
            if image in paths:
                raise UserError(
                    f"{image} comes twice in the data, so it would be learned from and scored on; "
                    "name it once"
                )
            paths.add(image)
            mask = os.path.abspath(os.path.join(dataset.ann_dir or "", info["ann"]["seg_map"]))
            stem = name[: len(name) - len(dataset.img_suffix)]
            lines[f"{split}/{name}" if with_val else name] = f"{image}\t{mask}" if pairs else stem
    return lines


def with_split(section: Mapping[str, Any], split: str) -> Any:
    """Return a copy of ``data.train`` whose innermost data set takes its samples from the file ``split``."""
    copied = _copied(section)
    (_, inner), *_ = innermost_data_sets("", copied)
    inner["split"] = os.path.abspath(split)
    return copied


def scored_split(cfg: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Return the config of the data set that scores a fold: training's files, the test's pipeline."""
    (_, inner), *_ = innermost_data_sets("", _copied(cfg["data"]["train"]))
    (_, test), *_ = innermost_data_sets("", _copied(cfg["data"].get("test") or cfg["data"]["val"]))
    inner.pop("on_error", None)  # what cannot be read cannot be scored
    return {**inner, "pipeline": test.get("pipeline") or [], "split": os.path.abspath(split)}


def write_lines(path: str, lines: Sequence[str]) -> None:
    """Write a split file."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def _plain(cfg: Mapping[str, Any], split: str) -> CustomDataset:
    """Build the only data set of a section, without its pipeline."""
    section = cfg["data"].get(split)
    if not section:
        raise UserError(f"the config has no data.{split}, whose images are to be split; set it")
    inner = list(innermost_data_sets(f"data.{split}", section))
    several = len(inner) != 1 or any(
        isinstance(inner[0][1].get(key), list | tuple) for key in ("img_dir", "ann_dir", "split")
    )
    if several or isinstance(section, list | tuple):
        raise UserError(
            f"data.{split} joins several data sets, which k-fold cannot split; name the pairs of image and "
            "mask of all of them in one `split` file"
        )
    dataset = build_dataset({**_copied(inner[0][1]), "pipeline": []})
    if not isinstance(dataset, CustomDataset):
        raise UserError(
            f"data.{split} is a {type(dataset).__name__}, which k-fold cannot split; it takes data sets of "
            "images and masks in files"
        )
    dataset.get_ann_info(0)  # says that there are no masks
    return dataset


def _has_pairs(dataset: CustomDataset) -> bool:
    """Whether the split file of a data set names pairs of files, in any folders."""
    if dataset.split is None:
        return False
    with open(dataset.split, encoding="utf-8") as file:
        named = [line.strip() + dataset.img_suffix for line in file if line.strip()]
    return named != [info["filename"] for info in dataset.img_infos]


def _copied(value: Any) -> Any:
    """Plain copies of dictionaries and lists."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    return value
