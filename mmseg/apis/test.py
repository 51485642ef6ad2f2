"""Testing: scores, overlays and label maps of a checkpoint."""

from __future__ import annotations

import os
import pickle
import time
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader

from mmseg.config import Config
from mmseg.config.task import innermost_data_sets
from mmseg.datasets import CityscapesDataset, build_dataloader, build_dataset
from mmseg.datasets.cityscapes_scores import official_scripts
from mmseg.engine.evaluator import evaluate, predictions, to_array
from mmseg.engine.precision import Precision, precision_from
from mmseg.engine.progress import ProgressBar
from mmseg.models import build_segmentor
from mmseg.models.layers.norm import revert_sync_batchnorm
from mmseg.registry import check_arguments
from mmseg.utils.allocator import keep_memory
from mmseg.utils.checkpoint import load_into, read_checkpoint, state_dict_of
from mmseg.utils.distributed import barrier, get_device, get_rank, get_world_size
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger

from .receipt import CONTENTS, make_receipt, write_json
from .setup import make_work_dir, prepare_config, setup_distributed

# Scales of --aug-test, those of 0.25.
AUG_TEST_RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


def single_gpu_test(
    model: nn.Module,
    data_loader: DataLoader,
    show: bool = False,
    out_dir: str | None = None,
    efficient_test: bool = False,
    opacity: float = 0.5,
    pre_eval: bool = False,
    format_only: bool = False,
    format_args: dict[str, Any] | None = None,
) -> list[Any]:
    """Predict every image of ``data_loader`` in this process.

    Args:
        model: A segmentor on its device.
        data_loader: From ``build_dataloader`` with ``shuffle=False``.
        show: Open a window per image.
        out_dir: Receives overlays, and label maps in ``gray/``.
        efficient_test: Accepted as 0.25's and without effect.
        opacity: Of the overlays, in (0, 1].
        pre_eval: Return what ``dataset.evaluate`` takes in place of label maps.
        format_only: Return what ``dataset.format_results`` returns.
        format_args: Arguments of ``format_results``.

    Returns:
        One label map (H, W), or one entry of ``pre_eval``, or one path, per image.
    """
    device = next(model.parameters()).device
    dataset = data_loader.dataset
    results: list[Any] = []
    position = 0
    with ProgressBar("test", len(dataset), enabled=get_rank() == 0) as bar:
        for batch, labels in predictions(model, data_loader, device):
            indices = batch.get("index") or list(range(position, position + len(labels)))
            position += len(labels)
            labels = [to_array(label) for label in labels]
            for i, label in enumerate(labels):
                if show or out_dir:
                    write_prediction(model, label, batch["img_metas"][0][i], out_dir, opacity, show=show)
            if pre_eval:
                results += dataset.pre_eval(labels, indices=indices)
            elif format_only:
                results += dataset.format_results(labels, indices=indices, **(format_args or {}))
            else:
                results += labels
            bar.advance(len(labels))
    return results


def multi_gpu_test(
    model: nn.Module,
    data_loader: DataLoader,
    tmpdir: str | None = None,
    gpu_collect: bool = False,
    efficient_test: bool = False,
    pre_eval: bool = False,
    format_only: bool = False,
    format_args: dict[str, Any] | None = None,
) -> list[Any] | None:
    """Predict over all ranks; rank 0 gets the results in the data set's order, the others None.

    ``tmpdir`` and ``gpu_collect`` are accepted as 0.25's: results travel over the process group.
    """
    own = single_gpu_test(
        model, data_loader, pre_eval=pre_eval, format_only=format_only, format_args=format_args
    )
    if get_world_size() == 1:
        return own
    parts: list[Any] = [None] * get_world_size()
    dist.all_gather_object(parts, own)
    if get_rank() != 0:
        return None
    # Rank r predicted the images r, r + world size, ...
    joined: list[Any] = [None] * len(data_loader.dataset)
    for rank, part in enumerate(parts):
        joined[rank :: get_world_size()] = part
    return joined


def write_prediction(
    model: nn.Module,
    label: np.ndarray,
    meta: dict[str, Any],
    out_dir: str | None,
    opacity: float = 0.5,
    show: bool = False,
) -> None:
    """Write an overlay to ``out_dir`` and the label map to ``out_dir/gray``; ``show`` opens a window."""
    name = os.path.splitext(meta["ori_filename"])[0] + ".png"
    out_file, grey_out = (
        (os.path.join(out_dir, name), os.path.join(out_dir, "gray", name)) if out_dir else (None, None)
    )
    model.show_result(
        meta["filename"], [label], opacity=opacity, out_file=out_file, grey_out=grey_out, show=show
    )


def test_from_args(args: Namespace) -> None:
    """Run ``tools/test.py``: predict, score, write what was asked for.

    Raises:
        UserError: a mistake in the arguments, the config, the data or the checkpoint.
    """
    if not (args.eval or args.out or args.format_only or args.show or args.show_dir):
        raise UserError(
            "nothing to do: give at least one of --eval, --out, --format-only, --show, --show-dir"
        )
    if args.eval and args.format_only:
        raise UserError("--eval and --format-only exclude each other: the images to format have no masks")
    if args.out and not args.out.endswith((".pkl", ".pickle", ".npz")):
        raise UserError(f"--out {args.out}: the file must end in .pkl, .pickle or .npz")
    kind = getattr(args, "receipt", None) or CONTENTS[0]
    if kind not in CONTENTS:
        raise UserError(f"--receipt {kind}: it is one of {', '.join(CONTENTS)}")
    cfg = config_for_test(args.config, args.cfg_options, args.aug_test)
    resolved = cfg.copy()  # as the receipt tells it, whatever is built from it
    setup_distributed(args.launcher, cfg)
    logger = get_root_logger(log_level=cfg.get("log_level") or "INFO")
    work_dir = make_work_dir(
        args.work_dir
        or cfg.get("work_dir")
        or os.path.join("./work_dirs", os.path.splitext(os.path.basename(args.config))[0])
    )
    gpu_id = args.gpu_id if args.launcher == "none" else None
    device = torch.device(cfg.device) if cfg.get("device") else get_device(gpu_id)
    if cfg.get("cudnn_benchmark"):
        torch.backends.cudnn.benchmark = True

    dataset = build_dataset(cfg.data.test, {"test_mode": True})
    metrics = [name for name in args.eval or [] if name != "cityscapes"]
    official = "cityscapes" in (args.eval or [])
    formats = args.format_only or official
    format_args = {"imgfile_prefix": os.path.join(work_dir, "format_results"), **(args.eval_options or {})}
    if formats:
        _check_formatting(dataset, format_args, official)
    saved = read_for_test(args.checkpoint)
    model = load_for_test(cfg, args.checkpoint, dataset, device, saved)
    loader = test_loader(cfg, dataset, with_truth=bool(metrics))
    kept: dict[int, np.ndarray] = {}

    def on_prediction(index: int, label: np.ndarray, meta: dict[str, Any]) -> None:
        if args.show or args.show_dir:
            write_prediction(model, label, meta, args.show_dir, args.opacity, show=args.show)
        if formats:
            dataset.format_results([label], indices=[index], **format_args)
        if args.out:
            kept[index] = label

    logger.info(f"testing {args.checkpoint} on {len(dataset)} images, on {device}")
    precision = precision_from(cfg.get("fp16"))
    scores: dict[str, Any] = {}
    if metrics:
        result = evaluate(
            model, loader, device=device, metrics=metrics, precision=precision, on_prediction=on_prediction
        )
        scores = dict(result.scores)
        if get_rank() == 0:
            print(result.table)
    else:
        predict_all(model, loader, device, on_prediction, precision)
    barrier()
    if args.eval and get_rank() == 0:
        if official:
            files = dataset.result_files(format_args["imgfile_prefix"])
            scores.update(dataset.evaluate(files, metric="cityscapes"))
        path = os.path.join(work_dir, f"eval_{_scale_word(cfg)}_{time.strftime('%Y%m%d_%H%M%S')}.json")
        content = {"config": args.config, "checkpoint": args.checkpoint, "metric": scores}
        if metrics and kind != "none":
            content["receipt"] = make_receipt(
                resolved, saved, dataset, result,
                device=device, scores=scores, contents=kind == "full", asked=vars(args),
            )  # fmt: skip
        write_json(path, content)
        logger.info(f"scores are in {path}")
    barrier()
    if args.out:
        _write_kept(args.out, kept, len(dataset))
        logger.info(f"label maps are in {args.out}")
    for what, where in (
        ("overlays (label maps in gray/)", args.show_dir),
        ("formatted results", formats and format_args["imgfile_prefix"]),
    ):
        if where:
            logger.info(f"{what} are in {where}")


test_from_args.__test__ = False  # a name that starts with test_ is not a test


def _check_formatting(dataset: Any, format_args: dict[str, Any], official: bool) -> None:
    """Refuse before the first prediction what would fail after the last."""
    format_args.pop("efficient_test", None)  # 0.25's, without effect
    check_arguments(dataset.format_results, {"results": [], "indices": [], **format_args})
    if not official:
        return
    if not isinstance(dataset, CityscapesDataset):
        raise UserError(
            f"--eval cityscapes scores data sets in Cityscapes' 19 classes, not a {type(dataset).__name__}; "
            "use --eval mIoU"
        )
    if not format_args.get("to_label_id", True):
        raise UserError("--eval cityscapes scores label ids; leave out to_label_id=False in --eval-options")
    dataset.get_ann_info(0)
    official_scripts()


def predict_all(
    model: nn.Module,
    loader: DataLoader,
    device: torch.device,
    on_prediction: Any,
    precision: Precision | None = None,
) -> None:
    """Hand every label map of ``loader`` to ``on_prediction``; no masks are needed."""
    position, step = get_rank(), get_world_size()
    with ProgressBar("test", len(loader.dataset), enabled=get_rank() == 0) as bar:
        for batch, labels in predictions(model, loader, device, precision):
            for i, label in enumerate(labels):
                on_prediction(position, to_array(label), batch["img_metas"][0][i])
                position += step
            bar.advance(min(len(labels) * step, bar.total - bar.done))


def config_for_test(
    path: str, options: dict[str, Any] | None = None, aug_test: bool | None = False
) -> Config:
    """Read a config as ``tools/test.py`` evaluates it: with ``--cfg-options``, with ``--aug-test``."""
    cfg = prepare_config(path, options)
    if aug_test:
        enable_multi_scale(cfg)
    cfg.model.pretrained = None
    return cfg


def read_for_test(checkpoint: str) -> dict[str, Any]:
    """Read the weights and ``meta`` of a checkpoint; what training needs is let go."""
    saved = read_checkpoint(checkpoint)
    return {"state_dict": state_dict_of(saved, checkpoint), "meta": saved.get("meta") or {}}


def load_for_test(
    cfg: Config,
    checkpoint: str,
    dataset: Any,
    device: torch.device,
    saved: dict[str, Any] | None = None,
) -> nn.Module:
    """Build the config's segmentor with the weights of ``checkpoint``, on ``device``, for evaluation.

    ``saved`` is what ``checkpoint`` holds, where it has been read already.
    """
    settings = {**cfg.model, "train_cfg": None}
    model = build_segmentor(settings, test_cfg=cfg.get("test_cfg"))
    saved = read_checkpoint(checkpoint) if saved is None else saved
    load_into(model, state_dict_of(saved), purpose="test", source=checkpoint, logger=get_root_logger())
    meta = saved.get("meta") or {}
    model.CLASSES = meta.get("CLASSES") or dataset.CLASSES
    model.PALETTE = meta.get("PALETTE") or dataset.PALETTE
    if len(model.CLASSES) != len(dataset.CLASSES):
        raise UserError(
            f"{checkpoint} was trained on {len(model.CLASSES)} classes, {type(dataset).__name__} has "
            f"{len(dataset.CLASSES)}; test it with the config that it was trained with"
        )
    keep_memory(device)
    return revert_sync_batchnorm(model).to(device).eval()


def test_loader(cfg: Config, dataset: Any, with_truth: bool) -> DataLoader:
    """The loader of ``data.test``: one image a batch unless ``data.test_dataloader`` says otherwise."""
    own = dict(cfg.data.get("test_dataloader") or {})
    own.pop("shuffle", None)
    settings = {"samples_per_gpu": 1, "workers_per_gpu": cfg.data.get("workers_per_gpu", 1), **own}
    return build_dataloader(dataset, shuffle=False, with_truth=with_truth, **settings)


test_loader.__test__ = False


def enable_multi_scale(cfg: Config) -> None:
    """``--aug-test``: six scales and flips in the config's ``MultiScaleFlipAug``, found by type.

    Raises:
        UserError: the test pipeline has none.
    """
    steps = _multi_scale_steps(cfg)
    if not steps:
        raise UserError("--aug-test needs a MultiScaleFlipAug in data.test.pipeline")
    for step in steps:
        step["img_ratios"] = list(AUG_TEST_RATIOS)
        step["flip"] = True


def _scale_word(cfg: Config) -> str:
    """``multi_scale`` or ``single_scale``, as 0.25 names the file of scores."""
    ratios = [step.get("img_ratios") for step in _multi_scale_steps(cfg)]
    several = any(isinstance(r, Sequence) and len(r) > 1 for r in ratios)
    return "multi_scale" if several else "single_scale"


def _multi_scale_steps(cfg: Config) -> list[dict[str, Any]]:
    """The ``MultiScaleFlipAug`` of each data set of ``data.test``."""
    pipelines = [d.get("pipeline") or [] for _, d in innermost_data_sets("data.test", cfg.data.test)]
    return [step for pipeline in pipelines for step in pipeline if step.get("type") == "MultiScaleFlipAug"]


def _write_kept(path: str, kept: dict[int, np.ndarray], length: int) -> None:
    """Write the label maps of every rank, in the data set's order, to ``path`` on rank 0."""
    parts: list[Any] = [kept]
    if get_world_size() > 1:
        parts = [None] * get_world_size()
        dist.all_gather_object(parts, kept)
    if get_rank() != 0:
        return
    joined = {index: label for part in parts for index, label in part.items()}
    maps = [joined[i] for i in range(length)]
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    if path.endswith(".npz"):
        np.savez_compressed(path, *maps)
        return
    with open(path, "wb") as file:
        pickle.dump(maps, file)
