"""How long does it take to count a megapixel into the confusion matrix?

Two label maps of 1000x1000 pixels, drawn so that neighbours mostly belong to one class and nine tenths of
the prediction are right, as in street scenes; 2 % of the truth is ignored. All contestants must give the same
counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.harness.arguments import apply, bench_parser
from benchmarks.harness.limits import limit
from benchmarks.harness.machine import peer, synchronise
from benchmarks.harness.report import Table, record
from benchmarks.harness.timing import alternate
from mmseg.utils.errors import run_tool

IGNORED = 255
MARK = 5.0
# (classes, type of the prediction, type of the truth). An argmax is int64, a mask read from a file uint8.
CASES = ((19, "uint8", "uint8"), (19, "int64", "uint8"), (19, "int64", "int64"), (150, "uint8", "uint8"))


def label_maps(num_classes: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and truth, uint8 (size, size)."""
    import cv2

    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((num_classes, 12, 12)).astype(np.float32)
    maps = []
    for noise in (0.1, 0.0):
        grids = scores + noise * rng.standard_normal(scores.shape).astype(np.float32)
        wide = [cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC) for grid in grids]
        maps.append(np.argmax(wide, axis=0).astype(np.uint8))
    pred, label = maps
    label[rng.random(label.shape) < 0.02] = IGNORED
    return pred, label


def contestants(
    pred: np.ndarray, label: np.ndarray, num_classes: int, device: str = "cpu"
) -> dict[str, Callable[[], Any]]:
    """Name → a function that counts; each gives (C, C), rows truth.

    The peers are called in the fastest way that counts right, torchmetrics with and without its checks.
    """
    import torch

    from mmseg.core.evaluation import confusion_matrix

    guess, truth = (torch.from_numpy(values).to(device) for values in (pred, label))
    found: dict[str, Callable[[], Any]] = {
        "ours": lambda: confusion_matrix(guess, truth, num_classes, IGNORED),
    }
    metrics = peer("torchmetrics.functional.classification", "torchmetrics")
    if metrics is not None:

        def torchmetrics(checks: bool) -> Any:
            return metrics.multiclass_confusion_matrix(
                guess, truth, num_classes, ignore_index=IGNORED, validate_args=checks
            )

        found["torchmetrics"] = lambda: torchmetrics(True)
        found["torchmetrics, no checks"] = lambda: torchmetrics(False)
    sklearn = peer("sklearn.metrics", "scikit-learn") if device == "cpu" else None
    if sklearn is not None:
        labels = np.arange(num_classes)

        def scikit_learn() -> np.ndarray:
            counted = label != IGNORED
            return sklearn.confusion_matrix(label[counted], pred[counted], labels=labels)

        found["scikit-learn"] = scikit_learn
    if device == "cpu":
        found["numpy.bincount"] = lambda: by_bincount(pred, label, num_classes)
    return found


def by_bincount(pred: np.ndarray, label: np.ndarray, num_classes: int) -> np.ndarray:
    """The counts as scripts without a library get them: one index per pixel, np.bincount."""
    counted = label != IGNORED
    pair = num_classes * label[counted].astype(np.int64) + pred[counted]
    return np.bincount(pair, minlength=num_classes**2).reshape(num_classes, num_classes)


def check_equal(calls: dict[str, Callable[[], Any]]) -> None:
    """Compare the counts of all contestants.

    Raises:
        RuntimeError: two differ, which makes a comparison of their speed worthless.
    """
    counts = {name: np.asarray(getattr(m := call(), "cpu", lambda m=m: m)()) for name, call in calls.items()}
    for name, matrix in counts.items():
        if not np.array_equal(matrix, counts["ours"]):
            raise RuntimeError(f"the counts of {name} differ from ours")


def main() -> None:
    parser = bench_parser(__doc__, rounds=11)
    parser.add_argument("--device", default="cpu", help="where the maps stand (default cpu)")
    args = apply(parser.parse_args())
    size = 100 if args.quick else 1000
    table = Table(
        f"counting {size * size / 1e6:g} megapixel into the confusion matrix, on {args.device}",
        columns=["classes", "prediction", "truth"],
    )
    for num_classes, pred_type, label_type in CASES:
        pred, label = label_maps(num_classes, size)
        pred, label = pred.astype(pred_type), label.astype(label_type)
        calls = contestants(pred, label, num_classes, args.device)
        check_equal(calls)
        timings = alternate(
            calls,
            rounds=args.rounds,
            budget_s=20,
            least_s=0 if args.quick else 0.02,
            sync=lambda: synchronise(args.device),
        )
        bound = limit(moved_bytes=pred.nbytes + label.nbytes, device=args.device, quick=args.quick)
        table.compare(
            timings,
            ours="ours",
            case=[num_classes, pred_type, label_type],
            mark=MARK,
            peers=[name for name in calls if name.startswith(("torchmetrics", "scikit-learn"))],
            limit=bound,
        )
    table.print()
    record("eval", table.rows, args.out, quick=args.quick, device=args.device)


if __name__ == "__main__":
    run_tool(main)
