"""Checking a score by its receipt."""

from __future__ import annotations

import ast
import os
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import torch

from mmseg.config import Config
from mmseg.config.task import innermost_data_sets
from mmseg.core.evaluation.bootstrap import scores_of_counts
from mmseg.core.evaluation.receipt import (
    changed_inputs,
    compare_scores,
    other_place,
    read_score_file,
    receipt_in,
    unpack_counts,
)
from mmseg.datasets import build_dataset
from mmseg.engine.evaluator import evaluate
from mmseg.engine.precision import precision_from
from mmseg.utils.distributed import get_device, named_device
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger

from .receipt import inputs_of, machine, versions
from .test import config_for_test, load_for_test, read_for_test, test_loader


def verify_from_args(args: Namespace) -> bool:
    """Run ``tools/verify.py`` and return whether the score holds.

    Raises:
        UserError: it cannot be checked: no receipt, no such config or checkpoint, no such device.
    """
    content = read_score_file(args.receipt)
    receipt = receipt_in(content, args.receipt)
    old_counts = unpack_counts(receipt["counts"], args.receipt)
    config = _existing(
        args.config, [content.get("config"), receipt.get("config_file")], "config", "--config", args.receipt
    )
    checkpoint = args.checkpoint or _existing(
        None,
        [content.get("checkpoint"), receipt.get("checkpoint_file")],
        "checkpoint",
        "CHECKPOINT",
        args.receipt,
    )
    cfg = config_for_test(config, _options(receipt, args.receipt), receipt.get("aug_test"))
    moved = _move_data(cfg, args.data_root)
    resolved = cfg.copy()
    logger = get_root_logger(log_level=cfg.get("log_level") or "INFO")
    device = _device(args.device, receipt, logger)

    saved = read_for_test(checkpoint)
    dataset = build_dataset(cfg.data.test, {"test_mode": True})
    hashed = bool(receipt["data"].get("contents_sha256"))
    now = inputs_of(resolved, saved, dataset, contents=hashed)
    now |= {"versions": versions(), "machine": machine(cfg, device)}
    changed, notes = changed_inputs(receipt, now, moved=moved)
    if content.get("metric") != receipt["scores"]:
        changed.insert(0, "the scores of the file are not those of its receipt: one of them was edited")
    for line in changed:
        print(f"changed: {line}")
    for line in notes:
        print(f"note: {line}")
    if not changed:
        files = sum(len(part[key]) for part in now["data"]["parts"] for key in ("images", "masks"))
        what = "contents" if hashed else "names only"
        print(
            f"unchanged: {len(now['weights']['tensors'])} tensors, {len(now['config']['values'])} config "
            f"values, {files} files ({what}), the pipeline"
        )
    if args.hashes_only:
        print(_verdict(args.receipt, not changed, evaluated=False))
        return not changed

    elsewhere = other_place(receipt, now)
    for line in elsewhere:
        print(f"note: {line}")
    exact = not elsewhere and not now["machine"]["cudnn_benchmark"]
    if not exact:
        why = "the machine or the versions are others" if elsewhere else "cudnn_benchmark chooses its kernels"
        print(f"note: {why}, so the scores are compared with a tolerance, not count by count")
    try:
        model = load_for_test(cfg, checkpoint, dataset, device, saved)
        if cfg.get("cudnn_benchmark"):
            torch.backends.cudnn.benchmark = True
        loader = test_loader(cfg, dataset, with_truth=True)
        result = evaluate(model, loader, device=device, precision=precision_from(cfg.get("fp16")))
    except UserError as error:
        if not changed:
            raise
        print(f"changed: it cannot be evaluated any more: {error}")
        print(_verdict(args.receipt, False, evaluated=False))
        return False
    new_counts = type(old_counts)(
        list(dataset.CLASSES), list(result.names), result.per_image, result.confusion
    )
    same, line = compare_scores(old_counts, new_counts, exact=exact)
    print(line if same else f"changed: {line}")
    unlike = _not_following(receipt, old_counts.per_image, list(old_counts.classes))
    if unlike:
        print(f"changed: {unlike}")
    holds = same and not changed and not unlike
    print(_verdict(args.receipt, holds, evaluated=True))
    return holds


def _verdict(path: str, holds: bool, *, evaluated: bool) -> str:
    if holds:
        return f"{path} holds" + ("" if evaluated else " as far as hashes tell; nothing was evaluated")
    return f"{path} does not hold"


def _not_following(receipt: Mapping[str, Any], per_image: Any, classes: list[str]) -> str:
    """Say where the scores that a receipt names do not follow from its own counts; empty if they do."""
    counted = scores_of_counts(per_image.sum(0))
    expected = {key: float(counted[key]) for key in ("mIoU", "mAcc", "aAcc")}
    expected |= {f"IoU.{name}": float(v) for name, v in zip(classes, counted["IoU"], strict=True)}
    for key, value in expected.items():
        told = receipt["scores"].get(key)
        if key in receipt["scores"] and abs((told if told is not None else 0.0) - _or_zero(value)) > 1e-9:
            return f"{key} is given as {told}, but follows from the receipt's own counts as {value}"
    return ""


def _or_zero(value: float) -> float:
    return 0.0 if value != value else value


def _existing(given: str | None, named: list[Any], what: str, option: str, receipt: str) -> str:
    """The path ``given``, or the first of those ``named`` that is there."""
    if given:
        return given
    paths = [path for path in named if isinstance(path, str)]
    found = next((path for path in paths if "://" in path or os.path.isfile(path)), None)
    if found is None:
        where = f" ({paths[0]})" if paths else ""
        raise UserError(f"the {what} that {receipt} names{where} is not here; say with {option} where it is")
    return found


def _options(receipt: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The ``--cfg-options`` of the receipt; literals are read, nothing is run."""
    try:
        options = ast.literal_eval(receipt.get("config_options") or "{}")
    except (ValueError, SyntaxError):
        options = None
    if not isinstance(options, dict):
        raise UserError(
            f"{path}: the options of the config in the receipt cannot be read; make the file anew with "
            "tools/test.py"
        )
    return options


def _move_data(cfg: Config, data_root: str | None) -> list[str]:
    """Set ``data_root`` of each data set of ``data.test``; returns the values that differ by that."""
    if data_root is None:
        return []
    if not os.path.isdir(data_root):
        raise UserError(f"--data-root {data_root} is no folder; give the one that the data lies in")
    moved = []
    for path, settings in innermost_data_sets("data.test", cfg.data.test):
        settings["data_root"] = data_root
        moved.append(f"{path}.data_root")
    return moved


def _device(name: str | None, receipt: Mapping[str, Any], logger: Any) -> torch.device:
    if name is not None:
        return named_device(name)
    kind, best = receipt["machine"].get("device"), get_device(0)
    if kind == "cpu":
        return torch.device("cpu")
    if kind != best.type:
        logger.warning(f"the score was computed on {kind}, which is not here; {best} takes its place")
    return best
