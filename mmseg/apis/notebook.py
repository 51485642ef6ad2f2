"""What a notebook does with a config: look at its data, count its cost, train, evaluate. Results come back as
values, and as charts (PNG files) beside what a run writes anyway; nothing is shown here."""

from __future__ import annotations

import glob
import logging
import os
from argparse import Namespace
from typing import Any

import numpy as np
import torch

from mmseg.datasets import build_dataset
from mmseg.datasets.doctor import class_weights
from mmseg.engine.evaluator import evaluate
from mmseg.engine.precision import precision_from
from mmseg.engine.run_log import keys_of, read_run_log
from mmseg.engine.writers.base import curves as record_curves
from mmseg.utils.distributed import get_device
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from mmseg.visualization.charts import draw_confusion_matrix, draw_curves
from mmseg.visualization.class_distribution import draw_class_distribution
from mmseg.visualization.notebook_figures import cost_bars, image_grid, score_bars, write_figure

from .analyze_logs import default_keys, panels_of
from .browse import browse_from_args
from .class_weights import as_table, count_class_pixels
from .notebook_configs import ConfigLike, config_path, default_work_dir, file_name, name_of
from .notebook_cost import cost_table, network, summarize
from .notebook_data import DATA_DIR, DATA_URL, convert_data, download_checkpoint, download_data
from .notebook_results import ClassDistribution, EvaluationResult, NetworkSummary, TrainingResult
from .report_runs import best_checkpoint
from .setup import make_work_dir, prepare_config
from .test import enable_multi_scale, load_for_test, predict_all, test_loader, write_prediction
from .train import train_from_args

__all__ = [
    "DATA_DIR",
    "DATA_URL",
    "ClassDistribution",
    "EvaluationResult",
    "NetworkSummary",
    "TrainingResult",
    "class_distribution",
    "convert_data",
    "cost_bars",
    "cost_table",
    "default_checkpoint",
    "default_work_dir",
    "download_checkpoint",
    "download_data",
    "evaluate_checkpoint",
    "file_name",
    "find_results",
    "image_grid",
    "network",
    "sample_sheets",
    "summarize",
    "train",
    "write_figure",
]

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_NO_PREDICTIONS = ("gray", "charts")  # what stands beside the overlays


def class_distribution(
    config: ConfigLike, split: str = "train", chart_dir: str | None = None
) -> ClassDistribution:
    """Count the pixels of each class and the weights that balance them, ``1 / log(1 + pixels)``.

    Args:
        config: A config or the path of one.
        split: 'train', 'val' or 'test'.
        chart_dir: Where a bar chart is written; None draws none.

    Raises:
        UserError: a mistake in the config, no masks, or a mask that training would refuse.
    """
    with config_path(config) as path:
        cfg = prepare_config(path)
    names, pixels, part = count_class_pixels(cfg, split)
    weights = class_weights(pixels)
    charts = {}
    if chart_dir is not None:
        charts["classes"] = os.path.join(make_work_dir(chart_dir), f"classes_{split}.png")
        palette = getattr(part.dataset, "PALETTE", None)
        title = f"Class distribution ({split})"
        draw_class_distribution(
            charts["classes"], names, {split: pixels}, palette, weights=weights.tolist(), title=title
        )
    return ClassDistribution(split, names, pixels, weights, as_table(names, pixels, weights), charts)


def sample_sheets(config: ConfigLike, split: str, number: int, chart_dir: str) -> list[str]:
    """Write contact sheets of samples of a split: the file with its mask, and what the network sees of it.

    Returns:
        The PNG files.
    """
    with config_path(config) as path:
        options = dict(cfg_options=None, images=None, skip_type=None, columns=None, seed=0, epoch=0, repeat=1)
        looks = dict(panes=["image", "overlay"], show_origin=True, opacity=0.5, pane_width=300)
        args = Namespace(
            config=path, split=split, number=number, output_dir=make_work_dir(chart_dir), **options, **looks
        )
        return browse_from_args(args)


# The run -----------------------------------------------------------------------------------------


def train(config: ConfigLike, work_dir: str | None = None, load_from: str | None = None) -> TrainingResult:
    """Train as ``tools/train.py`` does, in this process.

    Args:
        config: A config or the path of one.
        work_dir: Folder of the run; by default the config's, or ``./work_dirs/CONFIG_NAME``.
        load_from: A checkpoint to start from, in place of the config's.

    Raises:
        UserError: a mistake in the config, the data or the files that it names.
    """
    with config_path(config) as path:
        work_dir = work_dir or default_work_dir(config)
        given = dict(config=path, work_dir=work_dir, load_from=load_from, launcher="none", no_validate=False)
        left = dict(cfg_options=None, resume_from=None, auto_resume=False, seed=None, gpu_ids=None, gpu_id=0)
        try:
            train_from_args(Namespace(**given, **left, deterministic=False, diff_seed=False))
        finally:
            _close_log_files()
    curves = read_run_log(work_dir)
    last = record_curves({**(curves.get("val") or [{}])[-1], "mode": "val"})
    scores = {key.removeprefix("val/"): value for key, value in last.items() if key.startswith("val/")}
    newest = max(glob.glob(os.path.join(glob.escape(work_dir), "*.log")), key=os.path.getmtime, default="")
    latest = os.path.join(work_dir, "latest.pth")
    result = TrainingResult(work_dir, latest, best_checkpoint(work_dir) or latest, newest, scores, curves)
    if curves:
        result.charts["curves"] = os.path.join(work_dir, "curves.png")
        keys = [*default_keys([curves]), *(key for key in ("decode.acc_seg",) if key in keys_of(curves))]
        panels = panels_of(logs=[curves], keys=keys)
        draw_curves(result.charts["curves"], panels, title=name_of(config))
    return result


def _close_log_files() -> None:
    """Let the log file of a finished run go, so that what a notebook does next is not written to it."""
    logger = get_root_logger()
    for handler in [h for h in logger.handlers if isinstance(h, logging.FileHandler)]:
        logger.removeHandler(handler)
        handler.close()


def evaluate_checkpoint(
    config: ConfigLike,
    checkpoint: str,
    out_dir: str,
    opacity: float = 0.5,
    multi_scale: bool = False,
) -> EvaluationResult:
    """Score a checkpoint on ``data.test`` and write its pictures.

    Args:
        config: A config or the path of one.
        checkpoint: Path or address of the weights.
        out_dir: Receives an overlay for each image, the label maps in ``gray/`` and ``charts/``.
        opacity: Of the overlays, above 0 and at most 1.
        multi_scale: Average over six scales and their mirror images, which takes some fifteen times as long.

    Raises:
        UserError: a mistake in the config, the data or the checkpoint.
    """
    if not 0 < opacity <= 1:
        raise UserError(f"opacity is {opacity}; it must be above 0 and at most 1")
    with config_path(config) as path:
        cfg = prepare_config(path)
    if multi_scale:
        enable_multi_scale(cfg)
    cfg.model.pretrained = None
    make_work_dir(out_dir)
    dataset = build_dataset(cfg.data.test, {"test_mode": True})
    device = torch.device(cfg.device) if cfg.get("device") else get_device(0)
    model = load_for_test(cfg, checkpoint, dataset, device)
    has_truth = all("ann" in info for info in getattr(dataset, "img_infos", [{"ann": None}]))
    loader = test_loader(cfg, dataset, with_truth=has_truth)
    precision = precision_from(cfg.get("fp16"))
    names: list[str] = []

    def on_prediction(index: int, label: np.ndarray, meta: dict[str, Any]) -> None:
        write_prediction(model, label, meta, out_dir, opacity)
        names.append(str(meta["ori_filename"]))

    if not has_truth:
        predict_all(model, loader, device, on_prediction, precision)
        return EvaluationResult(checkpoint, out_dir, multi_scale, {}, "", None, names)
    found = evaluate(model, loader, device=device, precision=precision, on_prediction=on_prediction)
    result = EvaluationResult(
        checkpoint, out_dir, multi_scale, dict(found.scores), found.table, found.confusion, names
    )
    charts = os.path.join(out_dir, "charts")
    result.charts = {name: os.path.join(charts, f"{name}.png") for name in ("iou", "confusion")}
    scales = "multi-scale" if multi_scale else "single-scale"
    title = f"{name_of(config)}, {scales}: mIoU {100 * found.scores['mIoU']:.2f} %"
    write_figure(score_bars(result.per_class(), dataset.PALETTE, title=title), result.charts["iou"])
    draw_confusion_matrix(result.charts["confusion"], found.confusion, list(dataset.CLASSES))
    return result


def default_checkpoint(work_dir: str) -> str:
    """The best checkpoint of a run, or its latest.

    Raises:
        UserError: the folder has none.
    """
    found = best_checkpoint(work_dir) if os.path.isdir(work_dir) else None
    if found is None:
        raise UserError(
            f"there is no checkpoint to evaluate in {work_dir}; train the network first, or give load_from"
        )
    return found


def find_results(prediction_dir: str, image_dir: str) -> list[tuple[str, str, str]]:
    """The images of a folder that have a prediction: (name, image, prediction), by name.

    Args:
        prediction_dir: The ``out_dir`` of ``evaluate_checkpoint``.
        image_dir: Folder of the images; folders in it are as in ``prediction_dir``.

    Raises:
        UserError: a folder does not exist, or no prediction belongs to an image.
    """
    predictions, images = _pictures_in(prediction_dir, _NO_PREDICTIONS), _pictures_in(image_dir)
    pairs = [(stem, images[stem], path) for stem, path in sorted(predictions.items()) if stem in images]
    if not pairs:
        raise UserError(
            f"none of the {len(predictions)} pictures in {prediction_dir} has the name of one of the "
            f"{len(images)} images in {image_dir}; give the folders of the predictions and of their images"
        )
    return pairs


def _pictures_in(folder: str, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Path below ``folder``, its ending left out → picture."""
    if not os.path.isdir(folder):
        raise UserError(f"{folder} is no folder; predictions are made by evaluation_network(work_dir=...)")
    found = {}
    for place, folders, files in os.walk(folder):
        if place == folder:
            folders[:] = [name for name in folders if name not in without]
        for name in files:
            stem, ending = os.path.splitext(os.path.relpath(os.path.join(place, name), folder))
            if ending.lower() in _PICTURES:
                found[stem] = os.path.join(place, name)
    return found
