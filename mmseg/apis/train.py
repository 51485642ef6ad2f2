"""Training: from a config to a running loop."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mmseg import __version__
from mmseg.config import Config
from mmseg.datasets import build_dataset
from mmseg.engine.trainer import Trainer
from mmseg.models import build_segmentor
from mmseg.utils.checkpoint import find_latest_checkpoint, read_checkpoint
from mmseg.utils.checkpoint_files import checkpoints_in, remove_stale
from mmseg.utils.distributed import get_device, get_rank, get_world_size
from mmseg.utils.env import collect_env
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from mmseg.utils.random import set_random_seed

from .setup import make_work_dir, prepare_config, setup_distributed
from .start import start_from
from .watching import timeouts, watched


def init_random_seed(seed: int | None = None, device: str = "cuda") -> int:
    """Return ``seed``, or a random one that all ranks share where it is None.

    Args:
        seed: A non-negative integer or None.
        device: Accepted as 0.25's; the seed travels over the process group's own device.
    """
    if seed is not None:
        return int(seed)
    chosen = [int.from_bytes(os.urandom(4), "little") >> 1]
    if get_world_size() > 1:
        torch.distributed.broadcast_object_list(chosen, src=0)
    return chosen[0]


def train_segmentor(
    model: nn.Module,
    dataset: Any,
    cfg: Config | Mapping[str, Any],
    distributed: bool = False,
    validate: bool = False,
    timestamp: str | None = None,
    meta: dict[str, Any] | None = None,
) -> Trainer:
    """Train ``model`` on ``dataset`` as ``cfg`` says and return the finished trainer.

    Args:
        model: From ``build_segmentor``, with initial weights (``init_weights()``).
        dataset: The training data set, or a list that starts with it.
        cfg: The whole config; ``work_dir``, ``seed``, ``device``, ``load_from`` and ``resume_from``
            are read besides the sections of the trainer.
        distributed: Accepted as 0.25's; DDP is used whenever a process group exists.
        validate: Whether to score ``cfg.data.val`` at the evaluation interval.
        timestamp: Names the log files.
        meta: Goes into the checkpoints.

    Raises:
        UserError: a mistake in the config, the data or the files that it names.
    """
    train_dataset = dataset[0] if isinstance(dataset, (list, tuple)) else dataset
    val_dataset = build_dataset(cfg["data"]["val"], {"test_mode": True}) if validate else None
    work_dir = make_work_dir(cfg.get("work_dir") or "./work_dirs")
    check_classes(model, train_dataset)

    checkpoint = read_checkpoint(cfg["resume_from"]) if cfg.get("resume_from") else None
    seed = cfg.get("seed")
    saved_seed = ((checkpoint or {}).get("rng") or {}).get("seed")
    if saved_seed is not None and seed is not None and seed != saved_seed:
        get_root_logger().warning(
            f"resume: the run's seed was {saved_seed} and is now {seed}; the data order changes"
        )
    seed = init_random_seed(seed if seed is not None else saved_seed)

    if checkpoint is None and cfg.get("load_from"):
        start_from(model, cfg["load_from"], train_dataset.CLASSES, cfg.get("transfer_classes"))
    trainer = Trainer(
        model,
        train_dataset,
        cfg,
        work_dir=work_dir,
        device=torch.device(cfg["device"]) if cfg.get("device") else get_device(),
        seed=seed,
        val_dataset=val_dataset,
        timestamp=timestamp,
        meta={**checkpoint_meta(train_dataset, cfg), **(meta or {}), "seed": seed},
    )
    if checkpoint is not None:
        trainer.resume(checkpoint, str(cfg["resume_from"]))
    trainer.run()
    return trainer


def checkpoint_meta(dataset: Any, cfg: Config | Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of itself: the toolbox's version, classes, palette, config text."""
    return {
        "mmseg_version": __version__,
        "CLASSES": list(dataset.CLASSES),
        "PALETTE": [list(map(int, color)) for color in dataset.PALETTE]
        if dataset.PALETTE is not None
        else None,
        "config": cfg.pretty_text if isinstance(cfg, Config) else str(dict(cfg)),
    }


def check_classes(model: nn.Module, dataset: Any) -> None:
    """Raise ``UserError`` where a head predicts other classes than the data set has."""
    if dataset.CLASSES is None:
        raise UserError(
            f"{type(dataset).__name__} has no classes, which training needs; set `classes` in data.train and "
            "data.val, or for masks of background and foreground (0 and 255) the line task = 'binary'"
        )
    expected = len(dataset.CLASSES)
    heads = {}
    for name in ("decode_head", "auxiliary_head"):
        part = getattr(model, name, None)
        several = isinstance(part, nn.ModuleList)
        heads.update({f"{name}.{i}": head for i, head in enumerate(part)} if several else {name: part})
    for name, head in heads.items():
        if head is None:
            continue
        if head.num_classes != expected:
            raise UserError(
                f"model.{name}.num_classes is {head.num_classes}, but {type(dataset).__name__} has "
                f"{expected} classes; set model.{name}.num_classes={expected}"
            )
        ignored = getattr(dataset, "ignore_index", 255)
        if getattr(head, "task", None) == "binary" and head.ignore_index != ignored:
            raise UserError(
                f"model.{name}.ignore_index is {head.ignore_index}, but the label maps of "
                f"{type(dataset).__name__} hold {ignored} where nothing counts (task='binary' brings them to "
                f"that); set model.{name}.ignore_index={ignored} or leave it out"
            )


def train_from_args(args: Namespace) -> None:
    """Run ``tools/train.py``: read the config, set up the process, train.

    Raises:
        UserError: a mistake in the config, the data or the files that it names.
    """
    cfg = prepare_config(args.config, args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = os.path.join("./work_dirs", os.path.splitext(os.path.basename(args.config))[0])
    if args.load_from is not None:
        cfg.load_from = args.load_from
    if args.resume_from is not None:
        cfg.resume_from = args.resume_from
    cfg.auto_resume = bool(args.auto_resume or cfg.get("auto_resume"))

    # The watchdog is to report before a collective operation gives up, which says less.
    setup_distributed(args.launcher, cfg, timeout_s=2 * max(timeouts(cfg)))
    make_work_dir(cfg.work_dir)
    if get_rank() == 0:
        remove_stale(cfg.work_dir)
    with watched(cfg, cfg.work_dir):
        _train(args, cfg)


def _train(args: Namespace, cfg: Config) -> None:
    timestamp = time.strftime("%Y%m%d_%H%M%S")
    log_level = cfg.get("log_level") or "INFO"
    logger = get_root_logger(os.path.join(cfg.work_dir, f"{timestamp}.log"), log_level)
    if cfg.auto_resume and not cfg.get("resume_from"):
        cfg.resume_from = _newest_checkpoint(cfg.work_dir)
        if cfg.resume_from is None:
            logger.info(f"nothing to resume in {cfg.work_dir}; starting anew")
    cfg.device = str(_device_of(args, cfg))

    env_info = "\n".join(f"{k}: {v}" for k, v in collect_env().items())
    logger.info(f"environment:\n{env_info}")
    logger.info(f"config:\n{cfg.pretty_text}")
    if get_rank() == 0:
        cfg.dump(os.path.join(cfg.work_dir, os.path.splitext(os.path.basename(args.config))[0] + ".py"))

    deterministic = bool(args.deterministic or cfg.get("deterministic"))
    seed = args.seed if args.seed is not None else cfg.get("seed")
    resumes = bool(cfg.get("resume_from"))
    if seed is not None or not resumes:
        # A resumed run without a seed of its own takes the one that its checkpoint holds.
        cfg.seed = init_random_seed(seed)
        set_random_seed(cfg.seed + (get_rank() if args.diff_seed else 0), deterministic=deterministic)
        logger.info(f"seed {cfg.seed}, deterministic: {deterministic}")
    if deterministic:
        torch.backends.cudnn.deterministic = True
    else:
        torch.backends.cudnn.benchmark = bool(cfg.get("cudnn_benchmark", False))

    model = build_segmentor(cfg.model, train_cfg=cfg.get("train_cfg"), test_cfg=cfg.get("test_cfg"))
    if not resumes:
        model.init_weights()
    dataset = build_dataset(cfg.data.train)
    model.CLASSES, model.PALETTE = dataset.CLASSES, dataset.PALETTE
    train_segmentor(
        model,
        dataset,
        cfg,
        distributed=args.launcher != "none",
        validate=not args.no_validate,
        timestamp=timestamp,
        meta={"env_info": env_info, "exp_name": os.path.basename(args.config)},
    )
    logger.info(f"finished; checkpoints and logs are in {cfg.work_dir}")


def _newest_checkpoint(work_dir: str) -> str | None:
    """What ``--auto-resume`` goes on from; None in a folder without checkpoints.

    Raises:
        UserError: there are some, and none is whole: a run from the beginning would write over them.
    """
    found = find_latest_checkpoint(work_dir)
    broken = checkpoints_in(work_dir) if found is None else []
    if broken:
        shown = ", ".join(broken[:3]) + (", ..." if len(broken) > 3 else "")
        raise UserError(
            f"--auto-resume: none of the {len(broken)} checkpoints in {work_dir} is whole ({shown}; the log "
            "tells the reason of each); move them away to start anew, or give another --work-dir"
        )
    return found


def _device_of(args: Namespace, cfg: Config) -> torch.device:
    if cfg.get("device"):
        return torch.device(cfg.device)
    gpu_id = None
    if args.launcher == "none":
        gpu_id = args.gpu_ids[0] if args.gpu_ids else args.gpu_id
    return get_device(gpu_id)
