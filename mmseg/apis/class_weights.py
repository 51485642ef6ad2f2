"""Class weights of a data set: what ``tools/evaluate_dataset_class_weight.py`` does."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmseg.apis.check_dataset import count_files, data_config, work_dir_of
from mmseg.apis.setup import make_work_dir
from mmseg.config import Config
from mmseg.datasets.doctor import class_weights, list_parts
from mmseg.datasets.doctor.cache import FactsCache
from mmseg.datasets.doctor.facts import MISSING, MaskReader
from mmseg.datasets.doctor.findings import ERROR
from mmseg.datasets.doctor.judge import judge_pair
from mmseg.datasets.doctor.labels import Meaning
from mmseg.datasets.doctor.listing import Part
from mmseg.datasets.doctor.reading import default_jobs, read_facts
from mmseg.datasets.doctor.report import tasks_of
from mmseg.datasets.doctor.weights import default_beta
from mmseg.engine.progress import ProgressBar
from mmseg.utils.errors import UserError
from mmseg.visualization.class_distribution import draw_class_distribution

WEIGHTS, CHART = "class_weight.json", "class_weight.png"
_ALIKE = 0.01  # a spread of weights below which they do nothing


def count_class_pixels(
    cfg: Config | Mapping[str, Any], split: str = "train", jobs: int | None = None, progress: bool = False
) -> tuple[list[str], np.ndarray, Part]:
    """Count the pixels of each class in the masks of one split.

    Args:
        cfg: A config with ``data``.
        split: 'train', 'val' or 'test'.
        jobs: Threads; None takes as many as there are processors.
        progress: Whether a progress bar is shown.

    Returns:
        Names of the classes, pixels of each (C,) int64 without the ignored ones, and the (first) data set.

    Raises:
        UserError: a mistake in the config, no masks, or a mask that training would refuse.
    """
    parts = list_parts(cfg["data"], [split])
    with ProgressBar("masks", count_files(parts, images=False), enabled=progress) as bar:
        facts, _ = read_facts(
            tasks_of(parts, images=False), FactsCache(None), jobs or default_jobs(), bar.advance
        )
    if not facts:
        raise UserError(f"data.{split} has no masks, from which class weights are counted; set `ann_dir`")
    pixels = np.zeros(parts[0].num_classes, np.int64)
    for part in parts:
        key, meaning = MaskReader(part.mask_backend).key, Meaning.of(part)
        for image, mask in part.pairs:
            if mask is None:
                continue
            truth = facts[key, mask]
            unseen = {"constant": False}  # the image itself plays no part here
            found = [f for f in judge_pair(part, image, mask, unseen, truth) if f.severity == ERROR]
            if found:
                what = "it does not exist" if truth.get("problem") == MISSING else found[0].value
                raise UserError(f"the mask {mask} cannot be counted: {what}; see tools/check_dataset.py")
            pixels += meaning.count(truth["values"])
    return list(map(str, parts[0].dataset.CLASSES)), pixels, parts[0]


def weights_from_args(args: Namespace) -> np.ndarray:
    """Run ``tools/evaluate_dataset_class_weight.py``: print the weights, write them and a chart.

    Returns:
        The weights (C,).

    Raises:
        UserError: a mistake in the arguments, the config or the masks.
    """
    if args.jobs is not None and args.jobs < 1:
        raise UserError(f"--jobs must be a whole number of at least 1, not {args.jobs}")
    class_weights([1], args.method, args.beta)  # refuses wrong arguments before everything is read
    cfg = data_config(args.config, args.cfg_options)
    work_dir = make_work_dir(args.work_dir or work_dir_of(cfg, args.config))
    names, pixels, part = count_class_pixels(cfg, args.split, args.jobs, progress=True)
    weights = class_weights(pixels, args.method, args.beta)
    print(as_table(names, pixels, weights))
    for note in _notes(names, pixels, weights, args.method, args.beta):
        print(note)
    print("class_weight=[" + ", ".join(f"{weight:.8f}" for weight in weights) + "]")
    table, chart = os.path.join(work_dir, WEIGHTS), os.path.join(work_dir, CHART)
    with open(table, "w", encoding="utf-8") as file:
        json.dump(weights.tolist(), file)
        file.write("\n")
    draw_class_distribution(
        chart,
        names,
        {args.split: pixels},
        getattr(part.dataset, "PALETTE", None),
        weights=weights.tolist(),
        title=f"Class distribution ({args.split})",
    )
    print(f"written: {table} (for class_weight={table!r} of a loss), {chart}")
    return weights


def as_table(names: list[str], pixels: np.ndarray, weights: np.ndarray) -> str:
    """Return class, pixels, share and weight as lines of text."""
    total = max(1, int(pixels.sum()))
    width = max(5, *(len(name) for name in names))
    lines = [f"{'class':>{width + 4}}  {'pixels':>14}  {'share':>8}  {'weight':>8}"]
    for i, name in enumerate(names):
        share = int(pixels[i]) / total
        lines.append(f"{i:>3} {name:>{width}}  {int(pixels[i]):>14,}  {share:>8.3%}  {weights[i]:>8.5f}")
    return "\n".join(lines)


def _notes(
    names: list[str], pixels: np.ndarray, weights: np.ndarray, method: str, beta: float | None
) -> list[str]:
    notes = []
    unseen = [name for name, count in zip(names, pixels, strict=True) if not count]
    if unseen:
        notes.append(f"without a pixel, so of weight 1: {', '.join(unseen)}")
    seen = weights[pixels > 0]
    if method == "effective":
        used = default_beta(pixels) if beta is None else beta
        notes.append(f"beta = {used!r}")
        if seen.max() - seen.min() < _ALIKE:
            notes.append(
                f"all weights are alike: beyond some {1 / (1 - used):,.0f} pixels, 1 / (1 - beta), more of "
                f"them count for nothing; a beta for as many pixels as here is {default_beta(pixels)!r}"
            )
    return notes
