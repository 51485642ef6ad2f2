"""Before hours are spent: whether a config trains here, how long it takes and what it needs."""

from __future__ import annotations

import logging
import os
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from mmseg.apis.check_dataset import work_dir_of
from mmseg.apis.preflight_checks import (
    check_batch,
    check_disk,
    check_files,
    check_port,
    check_wandb,
    check_weights,
    without_traces,
)
from mmseg.apis.preflight_lines import Lines, show
from mmseg.apis.preflight_run import measure_run, tell_time
from mmseg.apis.setup import prepare_config
from mmseg.apis.start import start_from
from mmseg.apis.train import check_classes, checkpoint_meta
from mmseg.config import Config
from mmseg.datasets import build_dataset
from mmseg.engine.trainer import Trainer
from mmseg.models import build_segmentor
from mmseg.utils.checkpoint import read_checkpoint
from mmseg.utils.distributed import named_device
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from mmseg.utils.random import set_random_seed


def preflight_from_args(args: Namespace) -> int:
    """Run ``tools/preflight.py``.

    Returns:
        The exit status: 1 where training would fail, else 0.

    Raises:
        UserError: a wrong argument.
    """
    for name, least in (("gpus", 1), ("iters", 1), ("sample", 1)):
        if getattr(args, name) < least:
            raise UserError(f"--{name} must be a whole number of at least {least}, not {getattr(args, name)}")
    if not os.path.isfile(args.config):
        Config.fromfile(args.config)  # says what is near
    device = named_device(args.device)
    lines = Lines()
    with lines.trying("config"):
        cfg = prepare_config(args.config, args.cfg_options)
        if args.work_dir:
            cfg.work_dir = args.work_dir
        cfg.work_dir = work_dir_of(cfg, args.config)
        lines.ok("config", args.config)
        preflight(cfg, device=device, gpus=args.gpus, iters=args.iters, sample=args.sample, lines=lines)
    show(lines.lines)
    faults = len(lines.faults)
    print(f"{faults} fault{'s' * (faults != 1)}: training would fail" if faults else "training would run")
    return int(faults > 0)


def preflight(
    cfg: Config,
    *,
    device: torch.device,
    gpus: int = 1,
    iters: int = 20,
    sample: int = 40,
    lines: Lines | None = None,
) -> Lines:
    """Try out a config: data, classes, weights, disk, port, wandb, and a few real iterations.

    Nothing is left behind: what must be written goes to a folder that is deleted again.

    Args:
        cfg: From ``prepare_config``, with ``work_dir``.
        device: To train on.
        gpus: How many the run will have; one of them is measured.
        iters: Training iterations to measure.
        sample: Images of each split that are read.
        lines: Takes what is found.
    """
    lines = Lines() if lines is None else lines
    with _quiet():
        _examine(lines, cfg, device, gpus, iters, sample)
    return lines


def _examine(lines: Lines, cfg: Config, device: torch.device, gpus: int, iters: int, sample: int) -> None:
    check_files(lines, cfg, sample)
    all_there = check_weights(lines, cfg)
    check_wandb(lines, cfg)
    with lines.trying("port"):
        check_port(lines, gpus)
    with tempfile.TemporaryDirectory(prefix="preflight_") as folder, lines.trying("training"):
        _try_out(lines, cfg, device, gpus, iters, all_there, folder)


def _try_out(
    lines: Lines,
    cfg: Config,
    device: torch.device,
    gpus: int,
    iters: int,
    all_there: bool,
    folder: str,
) -> None:
    plain = Config(without_traces(cfg))
    train = build_dataset(plain.data.train)
    check_batch(lines, plain, len(train), gpus)
    val = build_dataset(plain.data.val, {"test_mode": True}) if plain.data.get("val") else None
    trainer, done = _trainer(lines, plain, train, val, device, all_there, folder)
    if len(train) < trainer.batch_size:
        return  # said above
    measured = measure_run(lines, trainer, iters, folder)
    tell_time(lines, trainer, measured, done, gpus)
    keeps_best = trainer.scoring.best is not None
    check_disk(lines, cfg.work_dir, trainer.plan, measured.checkpoint, keeps_best)


def _trainer(
    lines: Lines, cfg: Config, train: Any, val: Any, device: torch.device, all_there: bool, folder: str
) -> tuple[Trainer, int]:
    """A trainer as ``tools/train.py`` makes it, and how many iterations are behind it."""
    set_random_seed(0)
    torch.backends.cudnn.benchmark = bool(cfg.get("cudnn_benchmark", False))
    model = build_segmentor(cfg.model, train_cfg=cfg.get("train_cfg"), test_cfg=cfg.get("test_cfg"))
    if all_there:  # else the speed is measured with the weights that layers begin with
        with lines.trying("weights"):
            model.init_weights()
    check_classes(model, train)
    model.CLASSES, model.PALETTE = train.CLASSES, train.PALETTE
    parameters = sum(p.numel() for p in model.parameters())
    lines.ok("model", f"{len(train.CLASSES)} classes, {parameters / 1e6:.2f} million parameters, on {device}")
    meta = checkpoint_meta(train, cfg)
    trainer = Trainer(model, train, cfg, work_dir=folder, device=device, seed=0, val_dataset=val, meta=meta)
    for key in ("resume_from", "load_from"):
        source = str(cfg.get(key) or "")
        if not source or not os.path.isfile(source):
            continue
        with lines.trying(key):
            if key == "resume_from":
                trainer.resume(read_checkpoint(source), source)
                lines.ok(key, f"{source} goes on at iteration {trainer.iter} of {trainer.plan.max_iters}")
            else:
                report = start_from(trainer.model, source, train.CLASSES, cfg.get("transfer_classes"))
                if report.num_classes is not None:
                    theirs, ours = report.num_classes
                    lines.warning(
                        key,
                        f"{source} has {theirs} classes, the model {ours}: the classifier starts anew",
                    )
                left = len(report.missing) + len(report.mismatched)
                lines.ok(key, f"{len(report.loaded)} tensors of {source} fit, {left} start anew")
        break
    if trainer.iter >= trainer.plan.max_iters:
        raise UserError(
            f"there is nothing left to train: {cfg.resume_from} has {trainer.iter} iterations, and the run"
            f" ends at {trainer.plan.max_iters}; raise runner.max_iters (or max_epochs)"
        )
    return trainer, trainer.iter


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of what the table says."""
    logger = get_root_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
