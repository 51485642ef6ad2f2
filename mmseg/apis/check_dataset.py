"""Examining the data sets of a config: what ``tools/check_dataset.py`` does."""

from __future__ import annotations

import json
import os
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from mmseg.apis.setup import make_work_dir
from mmseg.config import Config, check_config
from mmseg.config.task import apply_task
from mmseg.datasets.doctor import class_weights, list_parts
from mmseg.datasets.doctor.cache import FactsCache
from mmseg.datasets.doctor.findings import KINDS, SEVERITIES, Finding
from mmseg.datasets.doctor.listing import SPLITS, Part
from mmseg.datasets.doctor.patch import write_patch
from mmseg.datasets.doctor.reading import default_jobs
from mmseg.datasets.doctor.report import Examination, examine, tasks_of
from mmseg.engine.progress import ProgressBar
from mmseg.utils.errors import UserError
from mmseg.visualization.class_distribution import draw_class_distribution

REPORT, CHART, PATCH, CACHE = (
    "dataset_report.json",
    "class_distribution.png",
    "dataset_patch.py",
    "dataset_cache.json.gz",
)


def check_dataset(
    cfg: Config | Mapping[str, Any],
    splits: Sequence[str] = SPLITS,
    jobs: int | None = None,
    cache_file: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Examination:
    """Read every pair of image and mask of a config once, and find what is wrong with them.

    Args:
        cfg: A config with ``data``; with ``model`` its heads are compared with the classes too.
        splits: Which of 'train', 'val' and 'test'.
        jobs: Threads; None takes as many as there are processors.
        cache_file: Facts of files that have not changed come from here, and are kept here.
        progress: Whether a progress bar is shown.

    Returns:
        ``findings``, worst first; ``errors``, those for which training or testing would fail; and
        ``splits``, what each split holds.

    Raises:
        UserError: a mistake in the config: a folder that does not exist, a data set that cannot be built.
    """
    parts = list_parts(cfg["data"], splits)
    cache = FactsCache(cache_file)
    with ProgressBar("check", count_files(parts), enabled=progress) as bar:
        return examine(
            parts, model=cfg.get("model"), cache=cache, jobs=jobs or default_jobs(), advance=bar.advance
        )


def count_files(parts: Sequence[Part], images: bool = True) -> int:
    """How many files are read for ``parts``."""
    return len({(reader.key, path) for reader, path in tasks_of(parts, images)})


def check_from_args(args: Namespace) -> int:
    """Run ``tools/check_dataset.py``.

    Returns:
        The exit status: 1 where training or testing would fail, else 0.

    Raises:
        UserError: a mistake in the arguments or the config.
    """
    cfg = data_config(args.config, args.cfg_options)
    if args.jobs is not None and args.jobs < 1:
        raise UserError(f"--jobs must be a whole number of at least 1, not {args.jobs}")
    if args.show < 1:
        raise UserError(f"--show must be a whole number of at least 1, not {args.show}")
    work_dir = make_work_dir(args.work_dir or work_dir_of(cfg, args.config))
    started = time.perf_counter()
    result = check_dataset(
        cfg,
        splits=args.split,
        jobs=args.jobs,
        cache_file=None if args.no_cache else os.path.join(work_dir, CACHE),
        progress=True,
    )
    seconds = time.perf_counter() - started
    print(as_text(result, show=args.show))
    paths = write_results(cfg, result, args.config, work_dir)
    told = f", {result.from_cache} of them from the cache" if result.from_cache else ""
    print(f"{result.files} files in {seconds:.1f} s{told}")
    print("written: " + ", ".join(paths))
    return int(bool(result.errors))


def data_config(path: str, options: dict[str, Any] | None = None) -> Config:
    """Read a config of which only ``data`` is needed.

    Raises:
        UserError: what is wrong, naming the file and the key.
    """
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(options or {})
    check_config(cfg)
    apply_task(cfg)
    if "data" not in cfg:
        raise UserError(f"{path}: the config has no `data`")
    return cfg


def work_dir_of(cfg: Config, path: str) -> str:
    """Where the results for a config go by default."""
    return cfg.get("work_dir") or os.path.join("./work_dirs", os.path.splitext(os.path.basename(path))[0])


def write_results(cfg: Config, result: Examination, config_path: str, folder: str) -> list[str]:
    """Write findings and statistics (JSON), the class distribution (PNG) and the config patch.

    Args:
        cfg: The config.
        result: Its examination.
        config_path: Its file, which the patch inherits from.
        folder: Where to; it exists.

    Returns:
        The paths.
    """
    report, chart, patch = (os.path.join(folder, name) for name in (REPORT, CHART, PATCH))
    content = {
        "config": config_path,
        "training_would_fail": bool(result.errors),
        "findings": [finding.as_json() for finding in result.findings],
        "splits": {name: split.as_json() for name, split in result.splits.items()},
    }
    first = next(iter(result.splits.values()))
    if first.pixels.any():
        content["class_weight"] = class_weights(first.pixels).tolist()
    with open(report, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
    pixels = {name: split.pixels for name, split in result.splits.items() if split.same_as is None}
    palette = getattr(first.parts[0].dataset, "PALETTE", None)
    draw_class_distribution(chart, first.classes, pixels, palette)
    with open(patch, "w", encoding="utf-8") as file:
        file.write(write_patch(cfg, result.splits, base=config_path, path=patch))
    return [report, chart, patch]


def as_text(result: Examination, show: int = 10) -> str:
    """Return the findings, worst first, and what the splits hold, for a terminal.

    Args:
        result: What to tell.
        show: Files that are named of each kind; the JSON file names all.
    """
    lines: list[str] = []
    for (severity, kind), group in groupby(result.findings, key=lambda f: (f.severity, f.kind)):
        lines += _group(severity, kind, list(group), show)
    lines += [line for name in result.splits for line in _split(name, result)]
    counts = {s: sum(f.severity == s for f in result.findings) for s in SEVERITIES}
    told = ", ".join(f"{n} {s}{'s' * (n != 1)}" for s, n in counts.items() if n)
    if not told:
        lines.append("nothing is wrong")
    elif result.errors:
        lines.append(f"{told}: training or testing would fail, or read damaged files")
    else:
        lines.append(f"{told}: training would run")
    return "\n".join(lines)


def _group(severity: str, kind: str, findings: list[Finding], show: int) -> list[str]:
    lines = [f"{severity.upper()}  {len(findings)} {KINDS[kind][len(findings) > 1]}"]
    for finding in findings[:show]:
        lines.append(f"  {finding.file} ({', '.join(finding.splits)})")
        lines.append(f"      {finding.value}")
        lines += [f"      see {other}" for other in finding.others[:3] if other not in finding.value]
        if len(finding.others) > 3:
            lines.append(f"      and {len(finding.others) - 3} more")
    if len(findings) > show:
        lines.append(f"  ... and {len(findings) - show} more; {REPORT} names all")
    for remedy in dict.fromkeys(finding.remedy for finding in findings[:show]):
        lines.append(f"  -> {remedy}")
    return [*lines, ""]


def _split(name: str, result: Examination) -> list[str]:
    split = result.splits[name]
    if split.same_as:
        return [f"{name}: the same files as {split.same_as}", ""]
    sizes = ", ".join(f"{w}x{h} ({count})" for (w, h), count in split.sizes.most_common(6))
    more = f" and {len(split.sizes) - 6} more" if len(split.sizes) > 6 else ""
    lines = [f"{name}: {split.pairs} images, {split.masks} masks that can be read"]
    if split.palette_masks:
        lines[0] += f", {split.palette_masks} of them palette PNGs (their indices are the classes)"
    if split.sizes:
        lines.append(f"  sizes (width x height): {sizes}{more}")
    if split.mean:
        mean, std = (", ".join(f"{v:.3f}" for v in values) for values in (split.mean, split.std))
        step = next(split.parts[0].steps("Normalize"), None)
        told = ""
        if step is not None:
            told = f"; Normalize has mean ({_numbers(step.get('mean'))}), std ({_numbers(step.get('std'))})"
        lines.append(f"  mean ({mean}), std ({std}){told}")
    if split.masks:
        lines += _class_lines(split)
    return [*lines, ""]


def _class_lines(split: Any) -> list[str]:
    total = max(1, int(split.pixels.sum()))
    width = max(5, *(len(name) for name in split.classes))
    lines = [f"  {'class':>{width + 4}}  {'pixels':>14}  {'share':>8}  {'images':>7}"]
    for i, name in enumerate(split.classes):
        pixels, images = int(split.pixels[i]), int(split.images[i])
        lines.append(f"  {i:>3} {name:>{width}}  {pixels:>14,}  {pixels / total:>8.3%}  {images:>7,}")
    everything = max(1, total + split.ignored)
    lines.append(
        f"  {'ignored':>{width + 4}}  {split.ignored:>14,}  {split.ignored / everything:>8.3%} of all"
    )
    return lines


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in values or ())
