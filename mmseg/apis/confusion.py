"""The confusion matrix of a checkpoint or of stored predictions, as a chart and as tables."""

from __future__ import annotations

import csv
import os
from argparse import Namespace
from collections.abc import Sequence

import numpy as np
import torch

from mmseg.apis.report_runs import read_label_maps
from mmseg.apis.setup import make_work_dir, prepare_config
from mmseg.apis.test import load_for_test, test_loader
from mmseg.config import Config
from mmseg.core.evaluation.metrics import areas_from_confusion, confusion_matrix, total_area_to_metrics
from mmseg.datasets import build_dataset
from mmseg.engine.evaluator import evaluate
from mmseg.engine.precision import precision_from
from mmseg.engine.progress import ProgressBar
from mmseg.utils.distributed import named_device
from mmseg.utils.errors import UserError
from mmseg.visualization.charts import check_colour_map, draw_confusion_matrix, percent_of_truth

RESULTS = (".pkl", ".pickle", ".npz")
CHART, PERCENT, PIXELS = "confusion_matrix.png", "confusion_matrix.csv", "confusion_matrix_pixels.csv"


def confusion_from_args(args: Namespace) -> np.ndarray:
    """Run ``tools/confusion_matrix.py``: chart and tables in ``args.save_dir``; returns (C, C) pixel counts.

    Raises:
        UserError: a mistake in the arguments, the config, the data or the checkpoint.
    """
    if not args.prediction.startswith(("http://", "https://")) and not os.path.isfile(args.prediction):
        folder = os.path.isdir(args.prediction)
        raise UserError(
            f"{args.prediction} {'is a folder' if folder else 'does not exist'}; give a checkpoint"
            f"{' in it' if folder else ''}, or what tools/test.py --out wrote ({', '.join(RESULTS)})"
        )
    # What is wrong with the chart is said before minutes go into an evaluation.
    check_colour_map(args.color_theme)
    cfg = prepare_config(args.config, args.cfg_options)
    folder = make_work_dir(args.save_dir, option="SAVE_DIR")
    if args.prediction.endswith(RESULTS):
        confusion, names = confusion_of_results(cfg, args.prediction)
    else:
        device = named_device(args.device)
        confusion, names = confusion_of_checkpoint(cfg, args.prediction, device)
    return _write(folder, confusion, names, args)


def confusion_of_checkpoint(
    cfg: Config, checkpoint: str, device: torch.device
) -> tuple[np.ndarray, Sequence[str]]:
    """Evaluate a checkpoint on ``data.test``; returns (C, C) pixel counts and the C names.

    Raises:
        UserError: no checkpoint, or one of another model or other classes.
    """
    cfg.model.pretrained = None
    dataset = build_dataset(cfg.data.test, {"test_mode": True})
    model = load_for_test(cfg, checkpoint, dataset, device)
    loader = test_loader(cfg, dataset, with_truth=True)
    result = evaluate(model, loader, device=device, precision=precision_from(cfg.get("fp16")))
    return result.confusion, dataset.CLASSES


def confusion_of_results(cfg: Config, path: str) -> tuple[np.ndarray, Sequence[str]]:
    """Compare the label maps of ``tools/test.py --out`` with the masks of ``data.test``.

    Raises:
        UserError: the file has something else, or label maps of another data set.
    """
    maps = read_label_maps(path)
    dataset = build_dataset(cfg.data.test, {"test_mode": True})
    if len(maps) != len(dataset):
        raise UserError(
            f"{path} holds {len(maps)} label maps, but data.test has {len(dataset)} images; give the "
            "config that the results were made with"
        )
    ignore_index = getattr(dataset, "ignore_index", 255)
    total = torch.zeros(len(dataset.CLASSES), len(dataset.CLASSES), dtype=torch.int64)
    with ProgressBar("count", len(dataset)) as bar:
        for index, label in enumerate(maps):
            truth = np.asarray(dataset.get_gt_seg_map_by_idx(index))
            if label.shape != truth.shape:
                name = dataset.img_infos[index]["filename"]
                raise UserError(
                    f"{path}: the label map of {name} is {label.shape}, its mask {truth.shape} (h, w); give "
                    "the config that the results were made with"
                )
            if label.dtype.kind not in "iub":
                raise UserError(f"{path} holds {label.dtype} values; a label map has whole numbers")
            guess = torch.from_numpy(label.astype(np.int64))
            total += confusion_matrix(
                guess, torch.from_numpy(truth.astype(np.int64)), len(total), ignore_index
            )
            bar.advance()
    return total.numpy(), dataset.CLASSES


def _write(folder: str, confusion: np.ndarray, names: Sequence[str], args: Namespace) -> np.ndarray:
    scores = total_area_to_metrics(*areas_from_confusion(torch.from_numpy(confusion)), ["mIoU"])
    miou = float(np.nanmean(np.asarray(scores["IoU"], float))) if confusion.sum() else float("nan")
    chart = os.path.join(folder, CHART)
    title = args.title or f"Confusion matrix (mIoU {100 * miou:.2f} %)"
    draw_confusion_matrix(chart, confusion, names, title=title, colours=args.color_theme)
    percent = percent_of_truth(confusion)
    rows = [["" if np.isnan(v) else f"{v:.4f}" for v in row] for row in percent]
    _write_table(os.path.join(folder, PERCENT), names, rows)
    _write_table(os.path.join(folder, PIXELS), names, confusion.tolist())
    for line in largest_mistakes(confusion, names):
        print(line)
    print(f"the chart is {chart}, the tables are {PERCENT} (% of the truth) and {PIXELS} beside it")
    if args.show:
        show_image(chart)
    return confusion


def largest_mistakes(confusion: np.ndarray, names: Sequence[str], number: int = 5) -> list[str]:
    """The pairs of classes that are confused most, by the share of the true class, as lines of text."""
    percent = percent_of_truth(confusion)
    found = [(percent[t, p], t, p) for t, p in np.argwhere(np.nan_to_num(percent) > 0) if t != p]
    return [
        f"{value:5.1f} % of {names[t]} ({int(confusion[t].sum())} pixels) is taken for {names[p]}"
        for value, t, p in sorted(found, reverse=True)[:number]
    ]


def _write_table(path: str, names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    temporary = f"{path}.partial"
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(["truth \\ prediction", *names])
            table.writerows([name, *row] for name, row in zip(names, rows, strict=True))
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def show_image(path: str) -> None:
    """Open a window with an image file.

    Raises:
        UserError: there is no display.
    """
    import matplotlib.pyplot as plt

    from mmseg.apis.image_demo import check_display

    check_display(f"the picture is in {path}")
    plt.figure()
    plt.imshow(plt.imread(path))
    plt.axis("off")
    plt.show()
