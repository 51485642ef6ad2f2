"""k-fold cross-validation: train and score a config on k splits of its training data."""

from __future__ import annotations

import io
import math
import os
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mmseg.config import Config
from mmseg.core.evaluation.bootstrap import scores_of_counts
from mmseg.core.evaluation.hashes import flat_values, hash_json
from mmseg.core.evaluation.receipt import Counts, pack_counts, read_score_file, unpack_counts
from mmseg.core.evaluation.report import json_ready
from mmseg.datasets import build_dataset
from mmseg.datasets.kfold import folds_of, samples_of, scored_split, with_split, write_lines
from mmseg.engine.evaluator import evaluate
from mmseg.engine.precision import precision_from
from mmseg.models import build_segmentor
from mmseg.utils.checkpoint import find_latest_checkpoint
from mmseg.utils.distributed import barrier, get_device, get_rank, named_device
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from mmseg.utils.random import set_random_seed

from .receipt import make_receipt, write_json
from .setup import make_work_dir, prepare_config, setup_distributed
from .test import load_for_test, read_for_test, test_loader
from .train import train_segmentor

SCORES, SUMMARY, MANIFEST = "eval_fold.json", "kfold.json", "folds.json"
LAST = "latest.pth"


def kfold_from_args(args: Namespace) -> None:
    """Run ``tools/kfold.py``.

    Raises:
        UserError: a mistake in the arguments, the config or the data; a work dir with other folds.
    """
    cfg = prepare_config(args.config, args.cfg_options)
    wanted = _wanted(args.only, args.folds)
    stem = os.path.splitext(os.path.basename(args.config))[0]
    work_dir = make_work_dir(args.work_dir or os.path.join("./work_dirs", f"{stem}_kfold"))
    setup_distributed(args.launcher, cfg)
    logger = get_root_logger(log_level=cfg.get("log_level") or "INFO")
    device = named_device(args.device) if args.device else get_device()

    lines = samples_of(cfg, with_val=args.with_val)
    folds = folds_of(list(lines), args.folds, args.seed)
    manifest = {
        "folds": args.folds,
        "seed": args.seed,
        "with_val": bool(args.with_val),
        "config_sha256": hash_json(flat_values(cfg.to_dict())),
        "validation": folds,
    }
    _check_manifest(manifest, work_dir)
    started = [k for k in wanted if os.path.exists(os.path.join(_folder(work_dir, k), LAST))]
    if started and not (args.resume or args.splits_only):
        raise UserError(
            f"{work_dir} holds fold {', '.join(map(str, started))} of an earlier run: --resume continues it, "
            "another --work-dir begins anew"
        )
    if get_rank() == 0:
        write_json(os.path.join(work_dir, MANIFEST), manifest)
        for k, fold in enumerate(folds, 1):
            held_out = set(fold)
            train, val = split_files(work_dir, k)
            write_lines(train, [line for name, line in lines.items() if name not in held_out])
            write_lines(val, [line for name, line in lines.items() if name in held_out])
    barrier()
    logger.info(f"{len(lines)} images in {args.folds} folds; their names are in {work_dir}/fold_*/*.txt")
    if args.splits_only:
        return
    for k in wanted:
        if _finished(work_dir, k):
            logger.info(f"fold {k} of {args.folds} is finished already")
            continue
        logger.info(f"fold {k} of {args.folds}: scores {len(folds[k - 1])} images")
        run_fold(cfg, k, work_dir, device=device, seed=args.seed, size=len(folds[k - 1]), config=args.config)
    barrier()
    if get_rank() == 0:
        results = {
            k: read_score_file(path) for k in range(1, args.folds + 1) if (path := _finished(work_dir, k))
        }
        told = summary(results, args.folds, work_dir)
        write_json(os.path.join(work_dir, SUMMARY), {"config": args.config, **told})
        print(fold_table(told))
        missing = args.folds - len(results)
        if missing:
            print(f"{missing} of {args.folds} folds are still to be trained, so the means are of the others")
        logger.info(f"the figures are in {os.path.join(work_dir, SUMMARY)}")
    barrier()


def run_fold(
    cfg: Config,
    k: int,
    work_dir: str,
    *,
    device: torch.device,
    seed: int,
    size: int,
    config: str | None = None,
) -> None:
    """Train fold ``k`` from where it stands and write its score file; its last weights are scored.

    Args:
        cfg: The config of the whole.
        size: How many images the fold scores, to be sure that the data set has followed its list.
    """
    folder = make_work_dir(_folder(work_dir, k))
    own = fold_config(cfg, k, work_dir, seed=seed, device=device)
    set_random_seed(seed)
    torch.backends.cudnn.benchmark = bool(own.get("cudnn_benchmark"))
    dataset = build_dataset(own.data.train)
    scored = build_dataset(own.data.test, {"test_mode": True})
    if len(scored) != size:
        raise UserError(
            f"{type(scored).__name__} lists {len(scored)} images where fold {k} names {size}: it does not go "
            "by its `split` file, so it cannot be split"
        )
    get_root_logger(
        os.path.join(folder, f"{time.strftime('%Y%m%d_%H%M%S')}.log"), own.get("log_level") or "INFO"
    )
    own.resume_from = find_latest_checkpoint(folder)
    if get_rank() == 0:
        own.dump(os.path.join(folder, "config.py"))
    model = build_segmentor(own.model, train_cfg=own.get("train_cfg"), test_cfg=own.get("test_cfg"))
    if not own.get("resume_from"):
        model.init_weights()
    model.CLASSES, model.PALETTE = dataset.CLASSES, dataset.PALETTE
    train_segmentor(model, dataset, own, distributed=True, validate=bool(own.get("evaluation")))
    del model

    latest = os.path.join(folder, LAST)
    own.resume_from = None
    own.model.pretrained = None
    resolved = own.copy()
    saved = read_for_test(latest)
    model = load_for_test(own, latest, scored, device, saved)
    loader = test_loader(own, scored, with_truth=True)
    result = evaluate(model, loader, device=device, precision=precision_from(own.get("fp16")))
    if get_rank() == 0:
        path = os.path.join(folder, "config.py")
        own.dump(path)
        asked = {"config": path, "checkpoint": latest}
        receipt = make_receipt(resolved, saved, scored, result, device=device, asked=asked)
        content = {"config": path, "checkpoint": latest, "metric": dict(result.scores), "fold": k}
        write_json(os.path.join(folder, SCORES), {**content, "receipt": receipt})
    barrier()


def fold_config(cfg: Config, k: int, work_dir: str, *, seed: int, device: torch.device) -> Config:
    """Return the config that trains fold ``k`` and scores it."""
    own = cfg.copy()
    train, val = split_files(work_dir, k)
    scored = scored_split(cfg, val)
    own.data.train = with_split(cfg.data.train, train)
    own.data.val, own.data.test = scored, dict(scored)
    own.checkpoint_config = {**(own.get("checkpoint_config") or {}), "save_last": True}
    own.work_dir, own.seed, own.device = _folder(work_dir, k), seed, str(device)
    return own


def summary(results: Mapping[int, Mapping[str, Any]], folds: int, work_dir: str) -> dict[str, Any]:
    """Scores of the folds that are there, with mean and standard deviation (of a sample: k - 1), from 0 to 1.

    ``pooled`` are the scores of all images together, each predicted by the model that had not seen it.
    """
    counts = {
        k: unpack_counts(result["receipt"]["counts"], os.path.join(_folder(work_dir, k), SCORES))
        for k, result in results.items()
    }
    scores = {k: dict(result["receipt"]["scores"]) for k, result in results.items()}
    keys = list(dict.fromkeys(key for own in scores.values() for key in own))
    mean, std = {}, {}
    for key in keys:
        values = [own[key] for own in scores.values() if own.get(key) is not None]
        mean[key] = float(np.mean(values)) if values else None
        std[key] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    told: dict[str, Any] = {
        "folds": folds, "finished": sorted(results), "mean": mean, "std": std,
        "per_fold": {str(k): scores[k] for k in sorted(scores)},
    }  # fmt: skip
    parts = [counts[k] for k in sorted(counts)]
    if parts:
        joined = Counts(
            classes=parts[0].classes,
            images=[name for part in parts for name in part.images],
            per_image=np.concatenate([part.per_image for part in parts]),
            confusion=sum(part.confusion for part in parts),
        )
        pooled = scores_of_counts(joined.per_image.sum(0))
        told["pooled"] = {key: float(pooled[key]) for key in ("mIoU", "mAcc", "aAcc")} | {
            f"IoU.{name}": float(v) for name, v in zip(joined.classes, pooled["IoU"], strict=True)
        }
        told["counts"] = pack_counts(joined)
    return json_ready(told)


def fold_table(told: Mapping[str, Any]) -> str:
    """A row per score, a column per fold, then mean, standard deviation and pooled; in percent."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.ASCII2)
    table.add_column(Text("score"), no_wrap=True)
    for head in (*(f"fold {k}" for k in told["per_fold"]), "mean", "std", "all images"):
        table.add_column(Text(head), justify="right", no_wrap=True)
    keys = [key for key in told["mean"] if "." not in key or key.startswith("IoU.")]
    for key in keys:
        values = [own.get(key) for own in told["per_fold"].values()]
        values += [told["mean"][key], told["std"][key], told.get("pooled", {}).get(key)]
        table.add_row(Text(key), *(Text(_percent(value)) for value in values))
    console = Console(file=io.StringIO(), force_jupyter=False, width=10_000, color_system=None)
    console.print(table)
    return console.file.getvalue().rstrip("\n")


def _percent(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def split_files(work_dir: str, k: int) -> tuple[str, str]:
    """The files that name the samples of fold ``k`` to train on, and those to score."""
    return os.path.join(_folder(work_dir, k), "train.txt"), os.path.join(_folder(work_dir, k), "val.txt")


def _folder(work_dir: str, k: int) -> str:
    return os.path.join(work_dir, f"fold_{k}")


def _finished(work_dir: str, k: int) -> str | None:
    path = os.path.join(_folder(work_dir, k), SCORES)
    return path if os.path.exists(path) else None


def _wanted(only: str | None, folds: int) -> list[int]:
    if not only:
        return list(range(1, folds + 1))
    parts = [part.strip() for part in only.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= folds for part in parts):
        raise UserError(f"--only {only}: give numbers of folds from 1 to {folds}, such as --only 2,3")
    return sorted({int(part) for part in parts})


def _check_manifest(manifest: Mapping[str, Any], work_dir: str) -> None:
    """Refuse to mix folds of different configs, seeds or data in one folder."""
    path = os.path.join(work_dir, MANIFEST)
    if not os.path.exists(path):
        return
    before = read_score_file(path)
    other = [key for key in manifest if before.get(key) != manifest[key]]
    if other:
        told: Sequence[str] = [
            key.replace("config_sha256", "config").replace("validation", "images") for key in other
        ]
        raise UserError(
            f"{work_dir} holds folds of other settings ({', '.join(told)} differ); choose another "
            "--work-dir, or give the settings of that run"
        )
