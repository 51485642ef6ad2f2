"""How many training samples can one core read and augment in a second?

Two recipes: KITTI's (1242x375 PNG, six scales, crops of 368x368) and CamVid's (480x360 JPEG, crops of
256x256). The yardstick is our own transforms called one by one (`exact_pipeline=True`); its samples equal
ours bit for bit, which is checked first. Images are drawn, with the grain and the file size of real ones, or
come from --images and --masks.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.harness.arguments import apply, bench_parser
from benchmarks.harness.limits import limit
from benchmarks.harness.machine import peer
from benchmarks.harness.report import Table, record
from benchmarks.harness.timing import alternate
from benchmarks.pipeline_data import CAMVID, KITTI, PlainSamples, Recipe, draw_images, given_images
from mmseg.utils.errors import run_tool

YARDSTICK, OURS, CACHED, PEER = "yardstick", "ours", "ours, cached", "albumentations"
MARKS = {"KITTI": (2.0, 1.5, 5.0)}  # ours by yardstick, ours by albumentations, cached by yardstick
BATCH = 4


class Kept:
    """A cache of decoded arrays in a dictionary, as a data set's is from the inside."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[str, str], np.ndarray] = {}

    def get(self, kind: str, path: str, read: Callable[[], np.ndarray]) -> np.ndarray:
        """What ``read`` gave the first time, read-only."""
        if (kind, path) not in self.arrays:
            array = np.ascontiguousarray(read())
            array.flags.writeable = False
            self.arrays[kind, path] = array
        return self.arrays[kind, path]


def start_of(image: str, mask: str, seed: int, cache: Kept | None = None) -> dict[str, Any]:
    """The dictionary that a data set gives to its pipeline."""
    results = {
        "img_info": {"filename": image},
        "ann_info": {"seg_map": mask},
        "seg_fields": [],
        "rng": np.random.default_rng(seed),
    }
    return results if cache is None else {**results, "cache": cache}


def contestants(
    recipe: Recipe, images: list[str], masks: list[str], samples: int
) -> dict[str, Callable[[], float]]:
    """Name → seconds for one sample, the mean over the same ``samples`` draws for every one of ours."""
    from mmseg.datasets.pipelines import Compose

    exact, fast, kept = Compose(recipe.pipeline(), exact=True), Compose(recipe.pipeline()), Kept()
    pairs = list(zip(images, masks, strict=True))

    def ours(pipeline: Compose, i: int, cache: Kept | None = None) -> dict[str, Any]:
        return pipeline(start_of(*pairs[i % len(pairs)], seed=i, cache=cache))

    for i in range(samples):
        check_equal(ours(exact, i), ours(fast, i))
        check_equal(ours(exact, i), ours(fast, i, kept))
    makers: dict[str, Callable[[int], Any]] = {
        OURS: partial(ours, fast),
        YARDSTICK: partial(ours, exact),
        CACHED: partial(ours, fast, cache=kept),
    }
    if peer("albumentations.pytorch", "albumentations") is not None:
        plain = PlainSamples(recipe, images, masks)
        makers[PEER] = lambda i: plain.draw(i % len(pairs), np.random.default_rng(i))

    def timed(make: Callable[[int], Any]) -> float:
        start = time.perf_counter()
        for i in range(samples):
            make(i)
        return (time.perf_counter() - start) / samples

    return {name: partial(timed, make) for name, make in makers.items()}


def check_equal(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Compare two samples.

    Raises:
        RuntimeError: they differ, which makes a comparison of their speed worthless.
    """
    for key in ("img", "gt_semantic_seg"):
        if not np.array_equal(first[key].numpy(), second[key].numpy()):
            raise RuntimeError(f"the `{key}` of two ways to make one sample differ")


def bench_samples(
    recipe: Recipe, images: list[str], masks: list[str], rounds: int, samples: int, quick: bool
) -> Table:
    """One core, one sample at a time."""
    calls = contestants(recipe, images, masks, samples)
    timings = alternate(calls, rounds=rounds, budget_s=60, own_clock=True)
    table = Table(f"one training sample on one core, {recipe.name}")
    to_yardstick, to_peer, cached = MARKS.get(recipe.name.partition(",")[0], (None, None, None))
    pixels = 3 * recipe.size[0] * recipe.size[1]
    out = recipe.crop[0] * recipe.crop[1] * (3 * 4 + 8)
    bound = limit(moved_bytes=Path(images[0]).stat().st_size + 2 * pixels + out, quick=quick)
    alone = {name: timing for name, timing in timings.items() if name != CACHED}
    marks = {} if to_yardstick is None else {YARDSTICK: to_yardstick}
    table.compare(alone, ours=OURS, marks=marks, mark=to_peer, peers=[PEER], limit=bound)
    kept = {name: timings[name] for name in (CACHED, YARDSTICK)}
    table.compare(kept, ours=CACHED, marks={} if cached is None else {YARDSTICK: cached}, peers=[])
    for name, timing in timings.items():
        table.value(f"{name}: samples per second", 1 / timing.median, "samples/s")
    return table


def stages(recipe: Recipe, images: list[str], masks: list[str], samples: int) -> dict[str, dict[str, float]]:
    """Seconds of every stage, the mean over ``samples``: of the yardstick's transforms, and of our run."""
    from mmseg.datasets.pipelines import Compose
    from mmseg.datasets.pipelines.fast import FusedRun, fast_read_mask
    from mmseg.datasets.pipelines.fast.reading import load_image

    exact = Compose(recipe.pipeline(), exact=True)
    run = next(step for step in Compose(recipe.pipeline()).steps() if isinstance(step, FusedRun))
    pairs = list(zip(images, masks, strict=True))
    spent: dict[str, dict[str, float]] = {YARDSTICK: {}, OURS: {}}

    def timed(whose: str, stage: str, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        value = call()
        took = (time.perf_counter() - start) / samples
        spent[whose][stage] = spent[whose].get(stage, 0.0) + took
        return value

    for i in range(samples):
        results: Any = start_of(*pairs[i % len(pairs)], seed=i)
        for transform in exact.transforms:
            results = timed(YARDSTICK, type(transform).__name__, partial(transform, results))
        results = start_of(*pairs[i % len(pairs)], seed=i)
        results, is_rgb = timed(OURS, "load the image", partial(load_image, run.image, results))
        load = partial(run.mask.load, results, fast_read_mask, copy=False)
        results = timed(OURS, "load the mask", load)
        img, mask = timed(OURS, "resize, crop, flip", partial(run.move, results))
        finish = partial(run.finish, results, img, mask, is_rgb)
        timed(OURS, "distort, normalise, pad, make tensors", finish)
    return spent


def bench_stages(recipe: Recipe, images: list[str], masks: list[str], rounds: int, samples: int) -> Table:
    """Where the time goes."""
    measured = [stages(recipe, images, masks, samples) for _ in range(rounds + 1)][1:]
    table = Table(f"stages of one training sample, {recipe.name}", columns=["whose"])
    for whose in (YARDSTICK, OURS):
        for stage in measured[0][whose]:
            middle = float(np.median([m[whose][stage] for m in measured]))
            table.value(stage, 1e3 * middle, "ms", case=[whose])
    return table


def batches(dataset: Any, workers: int, batch: int, seeded: bool) -> Iterator[Any]:
    """Batches without end, in random order."""
    from torch.utils.data import DataLoader

    from mmseg.datasets import build_dataloader

    if seeded:
        return iter(build_dataloader(dataset, batch, workers, dist=False, seed=0, start_iter=0))
    once = DataLoader(
        dataset, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0, drop_last=True
    )
    return (b for _ in iter(int, 1) for b in once)


def bench_loader(
    recipe: Recipe, images: list[str], masks: list[str], rounds: int, number: int, workers: list[int]
) -> Table:
    """Batches of a loader, with this process doing nothing else.

    What workers have made ahead is taken before the clock starts; meanwhile the other loaders' queues are
    full and their workers asleep.
    """
    from mmseg.datasets import build_dataset

    table = Table(
        f"one training sample from a loader, batches of {BATCH}, {recipe.name}", columns=["workers"]
    )
    with tempfile.TemporaryDirectory() as folder:
        # Enough entries for one epoch of every length; the files are the same over and over.
        pairs = Path(folder) / "pairs.txt"
        lines = [f"{image}\t{mask}" for image, mask in zip(images, masks, strict=True)]
        repeated = lines * (1 + 400 // len(lines))
        pairs.write_text("\n".join(repeated) + "\n")
        base = {
            "type": "CustomDataset",
            "split": str(pairs),
            "img_suffix": recipe.suffix,
            "pipeline": recipe.pipeline(),
            "classes": [str(i) for i in range(19)],
        }
        sets: dict[str, Any] = {
            OURS: build_dataset(base),
            YARDSTICK: build_dataset({**base, "exact_pipeline": True}),
            CACHED: build_dataset({**base, "cache": True}),
        }
        if peer("albumentations.pytorch", "albumentations") is not None:
            sets[PEER] = PlainSamples(
                recipe, images * (1 + 400 // len(images)), masks * (1 + 400 // len(images))
            )
        for count in workers:
            streams = {name: batches(data, count, BATCH, name != PEER) for name, data in sets.items()}

            def timed(stream: Iterator[Any], ahead: int = 2 * count) -> float:
                for _ in range(ahead):
                    next(stream)
                start = time.perf_counter()
                for _ in range(number):
                    next(stream)
                return (time.perf_counter() - start) / (number * BATCH)

            calls = {name: partial(timed, stream) for name, stream in streams.items()}
            timings = alternate(calls, rounds=rounds, budget_s=60, own_clock=True)
            table.compare(timings, ours=OURS, case=[count], peers=[PEER])
            del streams, calls
    return table


def main() -> None:
    parser = bench_parser(__doc__)
    parser.add_argument("--images", help="folder of images to use instead of drawn ones (needs --masks)")
    parser.add_argument("--masks", help="folder of their masks, 8-bit train ids, in the same order")
    parser.add_argument("--recipe", choices=["kitti", "camvid"], help="only this one (default: both)")
    parser.add_argument("--skip-loader", action="store_true", help="leave the loader's throughput out")
    args = apply(parser.parse_args())
    import cv2
    import torch

    torch.set_num_threads(1)  # the question is what one core does
    cv2.setNumThreads(0)
    recipes = [r for r in (KITTI, CAMVID) if args.recipe is None or r.name.lower().startswith(args.recipe)]
    tables = []
    for recipe in recipes:
        with tempfile.TemporaryDirectory() as folder:
            if args.images or args.masks:
                images, masks = given_images(args.images or "", args.masks or "", recipe.suffix)
            else:
                images, masks = draw_images(recipe, Path(folder), count=2 if args.quick else 8)
            samples = 4 if args.quick else 24
            tables.append(bench_samples(recipe, images, masks, args.rounds, samples, args.quick))
            tables.append(bench_stages(recipe, images, masks, args.rounds, samples))
            if not args.skip_loader:
                number, workers = (2, [0, 1]) if args.quick else (12, [0, 1, 2])
                tables.append(bench_loader(recipe, images, masks, args.rounds, number, workers))
    for table in tables:
        table.print()
    record("pipeline", [row for table in tables for row in table.rows], args.out, quick=args.quick)


if __name__ == "__main__":
    run_tool(main)
