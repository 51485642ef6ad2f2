"""A few real iterations and evaluation images of a config: time, memory, the size of a checkpoint."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from mmseg.apis.preflight_lines import Lines
from mmseg.core.cost.timing import peak_memory, wait_for
from mmseg.datasets import build_dataloader
from mmseg.engine.evaluator import predictions
from mmseg.engine.loaders import loader_settings
from mmseg.engine.trainer import Trainer
from mmseg.utils.checkpoint import save_checkpoint
from mmseg.utils.random import seed_iteration

WARM_UP = 2  # iterations that do not count: workers start, kernels are chosen
_EVALUATED = 3  # images, after one that does not count
_NEARLY_FULL = 0.9
_MUCH_PADDING = 0.25
_LONG_WAIT = 0.2


@dataclass(frozen=True)
class Measured:
    """What was measured, in seconds and bytes.

    Attributes:
        iteration: Median of the training iterations, waiting for the loader included.
        waiting: The share of it that was waiting.
        checkpoint: Bytes of a checkpoint.
        saving: To write one.
        image: Per image of an evaluation; None without a validation set.
    """

    iteration: float
    waiting: float
    checkpoint: int
    saving: float
    image: float | None


def measure_run(lines: Lines, trainer: Trainer, iters: int, folder: str) -> Measured:
    """Train ``iters`` iterations, predict a few validation images, write a checkpoint into ``folder``."""
    if trainer.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(trainer.device)
    seconds, waits, padding, loss = _train(trainer, iters)
    median, waiting = float(np.median(seconds)), float(sum(waits) / sum(seconds))
    if not math.isfinite(loss):
        lines.fault("loss", f"it is {loss} after {len(seconds) + WARM_UP} iterations: lower optimizer.lr")
    _tell_padding(lines, padding)
    image = None
    if trainer.val_dataset is not None and len(trainer.val_dataset):
        image = _evaluate(trainer)
    _tell_memory(lines, trainer.device)
    started = time.perf_counter()
    path = os.path.join(folder, "trial.pth")
    save_checkpoint(trainer.state(), path)
    return Measured(median, waiting, os.path.getsize(path), time.perf_counter() - started, image)


def _train(trainer: Trainer, iters: int) -> tuple[list[float], list[float], list[float], float]:
    """Seconds of each iteration, those of them waiting for data, shares of padding, and the last loss."""
    batches = trainer.batches()
    trainer.train_mode()
    seconds: list[float] = []
    waits: list[float] = []
    padding: list[float] = []
    end = trainer.plan.max_iters
    log_vars: dict[str, Any] = {}
    try:
        for _ in range(min(iters + WARM_UP, max(1, end - trainer.iter))):
            started = time.perf_counter()
            batch = next(batches)
            waits.append(time.perf_counter() - started)
            padding += [_padding(meta) for meta in batch.get("img_metas") or ()]
            seed_iteration(trainer.seed, trainer.iter, 0)
            trainer.schedule.step(trainer.iter)
            log_vars = trainer.forward_backward(batch)
            if trainer.accumulation.steps_after(trainer.iter, end):
                trainer.optimizer_step(log_vars)
            trainer.iter += 1
            wait_for(trainer.device)
            seconds.append(time.perf_counter() - started)
    finally:
        getattr(batches, "close", lambda: None)()
    counted = WARM_UP if len(seconds) > WARM_UP else 0
    return seconds[counted:], waits[counted:], padding, float(log_vars.get("loss", 0.0))


def _padding(meta: dict[str, Any]) -> float:
    """The share of an image that ``Pad`` filled."""
    inside, whole = meta.get("img_shape"), meta.get("pad_shape")
    return 1 - inside[0] * inside[1] / (whole[0] * whole[1]) if inside and whole else 0.0


def _tell_padding(lines: Lines, padding: list[float]) -> None:
    share, padded = float(np.mean(padding or [0.0])), sum(p > 0 for p in padding)
    told = f"{padded} of {len(padding)} images tried were smaller than the crop, {share:.0%} is padding"
    if share > _MUCH_PADDING:
        lines.warning("crop", told + "; lower crop_size (RandomCrop, Pad), or raise the scales of Resize")
    else:
        lines.ok("crop", told)


def _evaluate(trainer: Trainer) -> float:
    """Seconds per image of an evaluation whose loader has its workers."""
    settings = loader_settings(trainer.cfg["data"], "val")
    number = min(len(trainer.val_dataset), _EVALUATED + 1)
    loader = build_dataloader(
        trainer.val_dataset, samples_per_gpu=1, workers_per_gpu=0, shuffle=False, dist=False
    )
    reading: list[float] = []
    started = time.perf_counter()
    batches = []
    for batch in islice(loader, number):
        reading.append(time.perf_counter() - started)
        batches.append(batch)
        started = time.perf_counter()
    predicting: list[float] = []
    started = time.perf_counter()
    for _ in predictions(trainer.model, batches, trainer.device, trainer.precision):
        wait_for(trainer.device)
        predicting.append(time.perf_counter() - started)
        started = time.perf_counter()
    counted = int(number > 1)
    read, predict = (float(np.median(values[counted:])) for values in (reading, predicting))
    workers = settings["workers_per_gpu"]
    return max(predict, read / workers) if workers else predict + read


def _tell_memory(lines: Lines, device: torch.device) -> None:
    peak = peak_memory(device)
    if peak is None:
        return
    if device.type == "cuda":
        peak = torch.cuda.max_memory_reserved(device)
        total, whose = torch.cuda.mem_get_info(device)[1], f"{device} ({torch.cuda.get_device_name(device)})"
    elif device.type == "cpu":
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        whose = "the machine (this process, without the loader's)"
    else:
        lines.ok("peak memory", f"{peak / 2**30:.2f} GiB")
        return
    told = f"{peak / 2**30:.2f} GiB of the {total / 2**30:.1f} GiB of {whose}"
    if peak > _NEARLY_FULL * total:
        lines.warning("peak memory", told + "; a larger image may not fit: lower data.samples_per_gpu")
    else:
        lines.ok("peak memory", told)


def tell_time(lines: Lines, trainer: Trainer, measured: Measured, done: int, gpus: int) -> None:
    """Say how long an iteration takes, and how long the run will.

    Args:
        done: Iterations that a run to be resumed has behind it.
        gpus: Over which an evaluation is divided.
    """
    plan = trainer.plan
    told = f"{measured.iteration:.3f} s, of which {measured.waiting:.0%} is waiting for the loader"
    if measured.waiting > _LONG_WAIT:
        lines.warning("iteration", told + "; raise data.workers_per_gpu, or use `cache` in the data set")
    else:
        lines.ok("iteration", told)
    ahead = range(done + 1, plan.max_iters + 1)
    evaluations = sum(map(plan.is_eval_time, ahead)) if measured.image is not None else 0
    saves = sum(map(plan.is_save_time, ahead)) + 2 * evaluations
    training = len(ahead) * measured.iteration
    one = (measured.image or 0.0) * math.ceil(len(trainer.val_dataset or ()) / gpus)
    total = training + evaluations * one + saves * measured.saving
    ends = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + total))
    lines.ok(
        "whole run",
        f"{duration(total)}: {len(ahead)} iterations {duration(training)}, {evaluations} evaluations of"
        f" {len(trainer.val_dataset or ())} images {duration(evaluations * one)}; started now it ends {ends}"
        + (", if the GPUs cost each other no time" if gpus > 1 else ""),
    )


def duration(seconds: float) -> str:
    """``2 d 3 h``, ``3 h 20 min``, ``5 min 7 s``, ``12.3 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, smaller, its in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // smaller} {its}"
    raise AssertionError(seconds)
