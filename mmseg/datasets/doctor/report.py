"""The whole examination: read every file, judge, and count what the data set holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmseg.datasets.doctor import across
from mmseg.datasets.doctor.cache import FactsCache
from mmseg.datasets.doctor.facts import Facts, ImageReader, MaskReader
from mmseg.datasets.doctor.findings import ERROR, Finding, worst_first
from mmseg.datasets.doctor.judge import black_and_white_everywhere, judge_black_and_white, judge_pair
from mmseg.datasets.doctor.labels import IGNORED, Meaning
from mmseg.datasets.doctor.listing import Part
from mmseg.datasets.doctor.reading import Task, read_facts

Pair = tuple[str, str | None, Facts, Facts | None]


@dataclass
class Split:
    """What one split holds.

    Attributes:
        parts: Its data sets.
        classes: Names of the classes.
        pixels: Pixels of each class (C,), int64.
        images: Images that show each class (C,), int64.
        ignored: Pixels that do not count.
        values: Every value of the masks, with its pixels.
        sizes: How many images are (w, h).
        pairs, masks, palette_masks: How many.
        mean, std: Of each channel over all pixels, 0 to 255 for 8-bit images, RGB order; empty where
            no image can be read or their channels differ.
        same_as: Another split with the very same files, which is not examined twice; else None.
    """

    parts: list[Part]
    classes: list[str]
    pixels: np.ndarray
    images: np.ndarray
    ignored: int = 0
    values: Counter[int] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pairs: int = 0
    masks: int = 0
    palette_masks: int = 0
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    same_as: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The split as JSON can hold it."""
        total = max(1, int(self.pixels.sum()))
        return {
            "pairs": self.pairs,
            "same_as": self.same_as,
            "masks": self.masks,
            "palette_masks": self.palette_masks,
            "sizes": {f"{w}x{h}": count for (w, h), count in self.sizes.most_common()},
            "classes": [
                {
                    "name": name,
                    "pixels": int(pixels),
                    "share": int(pixels) / total,
                    "images": int(images),
                }
                for name, pixels, images in zip(self.classes, self.pixels, self.images, strict=True)
            ],
            "ignored_pixels": self.ignored,
            "values": {str(value): count for value, count in sorted(self.values.items())},
            "mean": self.mean,
            "std": self.std,
        }


@dataclass
class Examination:
    """The findings, worst first, and what each split holds."""

    findings: list[Finding]
    splits: dict[str, Split]
    files: int
    from_cache: int

    @property
    def errors(self) -> list[Finding]:
        """The findings for which training or testing would fail or read a damaged file."""
        return [finding for finding in self.findings if finding.severity == ERROR]


def tasks_of(parts: Sequence[Part], images: bool = True) -> list[Task]:
    """Return what has to be read for ``parts``: every mask and, unless ``images`` is false, every image."""
    tasks: list[Task] = []
    for part in parts:
        image_reader, mask_reader = ImageReader(part.image_step), MaskReader(part.mask_backend)
        for image, mask in part.pairs:
            if images:
                tasks.append((image_reader, image))
            if mask is not None:
                tasks.append((mask_reader, mask))
    return tasks


def examine(
    parts: Sequence[Part],
    model: Mapping[str, Any] | None = None,
    cache: FactsCache | None = None,
    jobs: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> Examination:
    """Read every pair of ``parts`` once and find what is wrong.

    Args:
        parts: As ``list_parts`` gives them.
        model: The section ``model`` of the config, whose heads are compared with the classes.
        cache: Facts of files from an earlier call.
        jobs: Threads.
        advance: Is called after each file.
    """
    cache = cache or FactsCache(None)
    splits: dict[str, list[Part]] = {}
    for part in parts:
        splits.setdefault(part.split, []).append(part)
    facts, from_cache = read_facts(tasks_of(parts), cache, jobs, advance)
    findings: list[Finding] = []
    summaries: dict[str, Split] = {}
    groups: dict[str, across.Contents] = {}
    for split, its in splits.items():
        twin = next((name for name in groups if _same(splits[name], its)), None)
        if twin is not None:
            summary = summaries[twin]
            summaries[split] = Split(**{**vars(summary), "parts": its, "same_as": twin})
            continue
        pairs = [(part, _with_facts(part, facts)) for part in its]
        for part, seen in pairs:
            findings += _judge(part, seen)
            findings += across.heads(model, part)
        summaries[split] = summarize(pairs)
        everything = [pair for _, seen in pairs for pair in seen]
        groups[split] = across.contents(everything)
        findings += across.duplicates(split, groups[split])
        if summaries[split].masks:
            findings += across.never_seen(split, summaries[split].classes, summaries[split].pixels)
    findings += across.leaks(groups)
    return Examination(worst_first(findings), summaries, len(facts), from_cache)


def summarize(parts: Sequence[tuple[Part, Sequence[Pair]]]) -> Split:
    """Count what the files of a split hold."""
    first = parts[0][0]
    zeros = np.zeros(first.num_classes, np.int64)
    split = Split([part for part, _ in parts], list(map(str, first.dataset.CLASSES)), zeros, zeros.copy())
    moments: list[tuple[int, list[float], list[float]]] = []
    for part, pairs in parts:
        meaning = Meaning.of(part)
        for _, _, seen, truth in pairs:
            split.pairs += 1
            if "size" in seen:
                w, h = seen["size"]
                split.sizes[w, h] += 1
                moments.append((w * h, seen["mean"], seen["std"]))
            if truth is None or "mode" not in truth:
                continue
            split.masks += 1
            split.palette_masks += truth["mode"] == "P"
            values = truth.get("values", {})
            split.values.update({int(value): count for value, count in values.items()})
            split.ignored += sum(n for v, n in values.items() if meaning.of_value(int(v)) == IGNORED)
            pixels = meaning.count(values)
            split.pixels += pixels
            split.images += pixels > 0
    split.mean, split.std = joined_moments(moments)
    return split


def joined_moments(
    moments: Sequence[tuple[int, Sequence[float], Sequence[float]]],
) -> tuple[list[float], list[float]]:
    """Join (pixels, mean, std) of images to mean and std over all their pixels, in float64."""
    if not moments or len({len(mean) for _, mean, _ in moments}) != 1:
        return [], []
    pixels = np.array([n for n, _, _ in moments], np.float64)[:, None]
    means = np.array([mean for _, mean, _ in moments])
    stds = np.array([std for _, _, std in moments])
    share = pixels / pixels.sum()
    mean = (share * means).sum(0)
    variance = (share * (stds**2 + (means - mean) ** 2)).sum(0)
    return mean.tolist(), np.sqrt(variance).tolist()


def _judge(part: Part, pairs: Sequence[Pair]) -> list[Finding]:
    findings: list[Finding] = []
    everywhere = black_and_white_everywhere(part, [truth for *_, truth in pairs if truth is not None])
    for image, mask, seen, truth in pairs:
        findings += judge_pair(part, image, mask, seen, truth)
        if mask is not None and truth is not None:
            finding = judge_black_and_white(part, mask, truth, everywhere)
            findings += [finding] if finding else []
    return [*findings, *across.lone_masks(part), *across.contradictions(part)]


def _with_facts(part: Part, facts: Mapping[tuple[str, str], Facts]) -> list[Pair]:
    image_key, mask_key = ImageReader(part.image_step).key, MaskReader(part.mask_backend).key
    return [
        (image, mask, facts[image_key, image], None if mask is None else facts[mask_key, mask])
        for image, mask in part.pairs
    ]


def _same(some: Sequence[Part], others: Sequence[Part]) -> bool:
    """Whether two splits have the same files and read them alike, as val and test often do."""

    def key(parts: Sequence[Part]) -> list[Any]:
        return [
            (part.pairs, part.lone_masks, list(part.dataset.CLASSES), Meaning.of(part), part.image_step)
            for part in parts
        ]

    return some[0].split != "train" and key(some) == key(others)
