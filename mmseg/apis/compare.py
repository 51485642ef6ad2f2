"""Comparing two scores on the same images."""

from __future__ import annotations

import io
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from mmseg.core.evaluation.bootstrap import SUMMARY, Interval, PairedBootstrap, paired_bootstrap
from mmseg.core.evaluation.bootstrap import scores_of_counts as scores_of
from mmseg.core.evaluation.receipt import Counts, read_counts
from mmseg.utils.errors import UserError

from .receipt import write_json


def compare_from_args(args: Namespace) -> None:
    """Run ``tools/compare.py``.

    Raises:
        UserError: a file holds no counts, or the two do not belong together.
    """
    if args.out and not args.out.endswith(".json"):
        raise UserError(f"--out {args.out}: the figures are written as .json")
    a, b = read_counts(args.a), read_counts(args.b)
    names = tuple(args.names) if args.names else ("A", "B")
    b = aligned(a, b, args.a, args.b)
    if np.array_equal(a.per_image, b.per_image):
        print(
            f"{names[0]} and {names[1]} are identical: the same pixel counts of each class on each of "
            f"{len(a.images)} images"
        )
        paired = None
    else:
        paired = paired_bootstrap(
            b.per_image, a.per_image, rounds=args.rounds, level=args.level, seed=args.seed
        )
        print(difference_table(a, b, paired, names))
        print(sentence(paired, names))
        if args.names is None:
            print(f"A is {args.a}, B is {args.b}")
    if args.out:
        os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
        write_json(args.out, figures(a, b, paired, (args.a, args.b)))


def aligned(a: Counts, b: Counts, path_a: str, path_b: str) -> Counts:
    """Return ``b`` with its images in the order of ``a``.

    Raises:
        UserError: they hold other classes, or other images.
    """
    if a.classes != b.classes:
        what = next(
            (f"class {i} is {x} and {y}" for i, (x, y) in enumerate(zip(a.classes, b.classes)) if x != y),  # noqa: B905
            f"{len(a.classes)} and {len(b.classes)} of them",
        )
        raise UserError(
            f"{path_a} and {path_b} score different classes ({what}); compare scores of the same data set"
        )
    if a.images == b.images:
        return b
    place = {name: i for i, name in enumerate(b.images)}
    alone = sorted(set(a.images) ^ set(b.images))
    if alone or len(place) != len(b.images) or len(a.images) != len(b.images):
        what = f"{alone[0]} is in one of them only" if alone else "a name comes twice"
        raise UserError(
            f"{path_a} and {path_b} score different images: {len(a.images)} and {len(b.images)}, {what}; a "
            "paired comparison needs the same images for both"
        )
    return replace(b, images=a.images, per_image=b.per_image[[place[name] for name in a.images]])


def sentence(paired: PairedBootstrap, names: Sequence[str] = ("A", "B")) -> str:
    """What the comparison means, in plain words; ``paired`` is B less A."""
    gap, share = paired.summary["mIoU"], paired.better["mIoU"]
    low, high = 100 * gap.low, 100 * gap.high
    level = f"{100 * paired.level:g} %"
    span = f"[{low:.1f}, {high:.1f}]"
    if not np.isfinite([gap.value, low, high]).all():
        return "mIoU is not defined for both: no image holds a counted pixel of the classes"
    if low > 0 or high < 0:
        better, worse = (names[1], names[0]) if gap.value > 0 else (names[0], names[1])
        size = abs(100 * gap.value)
        span = span if gap.value > 0 else f"[{-high:.1f}, {-low:.1f}]"
        wins = share if gap.value > 0 else 1 - share
        return (
            f"{better} is better than {worse} by {size:.1f} {span} points of mIoU ({level} interval "
            f"over {paired.num_images} images); it was ahead in {100 * wins:.1f} % of "
            f"{paired.rounds} draws of them"
        )
    return (
        f"these {paired.num_images} images do not tell {names[0]} and {names[1]} apart: {names[1]} is "
        f"{100 * gap.value:+.1f} {span} points of mIoU from {names[0]}, and was ahead in {100 * share:.1f} % "
        f"of {paired.rounds} draws"
    )


def difference_table(a: Counts, b: Counts, paired: PairedBootstrap, names: Sequence[str]) -> str:
    """Scores of both and their difference with its interval, in points; plain text."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.ASCII2)
    table.add_column(Text("score"), no_wrap=True)
    for head in (names[0], names[1], "difference", f"{100 * paired.level:g} % interval", "ahead"):
        table.add_column(Text(str(head)), justify="right", no_wrap=True)
    for key, row in rows(a, b, paired).items():
        low, high = row["difference"]["low"], row["difference"]["high"]
        cells = [
            _points(row["a"]),
            _points(row["b"]),
            _points(row["difference"]["value"], sign=True),
            f"{_points(low, sign=True)} to {_points(high, sign=True)}",
            "-" if np.isnan(row["better"]) else f"{100 * row['better']:.1f} %",
        ]
        table.add_row(Text(key), *map(Text, cells))
    console = Console(file=io.StringIO(), force_jupyter=False, width=10_000, color_system=None)
    console.print(table)
    return console.file.getvalue().rstrip("\n")


def rows(a: Counts, b: Counts, paired: PairedBootstrap) -> dict[str, dict[str, Any]]:
    """Per score: that of A and of B, the difference B - A, and the share of draws with B ahead."""
    of_a, of_b = scores_of(a.per_image.sum(0)), scores_of(b.per_image.sum(0))
    found = {key: _row(of_a[key], of_b[key], paired.summary[key], paired.better[key]) for key in SUMMARY}
    for i, name in enumerate(a.classes):
        found[f"IoU.{name}"] = _row(
            of_a["IoU"][i], of_b["IoU"][i], paired.per_class[i], paired.better_per_class[i]
        )
    return found


def _row(a: Any, b: Any, difference: Interval, better: float) -> dict[str, Any]:
    return {"a": float(a), "b": float(b), "difference": asdict(difference), "better": better}


def figures(
    a: Counts, b: Counts, paired: PairedBootstrap | None, paths: tuple[str, str]
) -> Mapping[str, Any]:
    """What ``--out`` holds: scores from 0 to 1; ``difference`` is B less A."""
    told: dict[str, Any] = {
        "a": paths[0], "b": paths[1], "images": len(a.images), "identical": paired is None
    }  # fmt: skip
    if paired is not None:
        told |= {"rounds": paired.rounds, "level": paired.level, "p_values": paired.p_values}
        told |= {"scores": rows(a, b, paired), "sentence": sentence(paired)}
    return told


def _points(score: float, sign: bool = False) -> str:
    return "-" if np.isnan(score) else f"{100 * score:{'+' if sign else ''}.2f}"
