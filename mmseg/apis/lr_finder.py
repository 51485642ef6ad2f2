"""Finding a learning rate for a config."""

from __future__ import annotations

import os
import tempfile
from argparse import Namespace

import torch

from mmseg.datasets import build_dataset
from mmseg.engine.lr_finder import LrSweep, sweep_learning_rates, write_sweep
from mmseg.engine.trainer import Trainer
from mmseg.models import build_segmentor
from mmseg.utils.distributed import get_device
from mmseg.utils.logger import get_root_logger
from mmseg.utils.random import set_random_seed

from .setup import make_work_dir, prepare_config
from .start import start_from
from .train import check_classes, init_random_seed


def find_lr_from_args(args: Namespace) -> LrSweep:
    """Run ``tools/lr_finder.py``: sweep, print the suggestion, write a chart and a table.

    Only ``lr_finder.png`` and ``lr_finder.csv`` are written to the work dir.

    Raises:
        UserError: a mistake in the arguments, the config, the data or the files that it names.
    """
    cfg = prepare_config(args.config, args.cfg_options)
    name = os.path.splitext(os.path.basename(args.config))[0]
    work_dir = make_work_dir(args.work_dir or cfg.get("work_dir") or os.path.join("./work_dirs", name))
    logger = get_root_logger(log_level=cfg.get("log_level") or "INFO")
    seed = init_random_seed(args.seed if args.seed is not None else cfg.get("seed"))
    set_random_seed(seed)

    model = build_segmentor(cfg.model, train_cfg=cfg.get("train_cfg"), test_cfg=cfg.get("test_cfg"))
    model.init_weights()
    dataset = build_dataset(cfg.data.train)
    check_classes(model, dataset)
    # The sweep sets its own rates, and its length is not that of the run.
    steps = (cfg.get("optimizer_config") or {}).get("cumulative_iters") or 1
    settings = {
        **cfg,
        "lr_config": None,
        "runner": {"type": "IterBasedRunner", "max_iters": args.iters * steps},
    }
    settings |= {"custom_hooks": None, "ema": None, "early_stopping": None, "profiler_config": None}
    with tempfile.TemporaryDirectory() as nowhere:
        trainer = Trainer(
            model,
            dataset,
            settings,
            work_dir=nowhere,
            device=torch.device(cfg.device) if cfg.get("device") else get_device(args.gpu_id),
            seed=seed,
        )
        source = args.load_from or cfg.get("load_from")
        if source:
            start_from(trainer.model, source, dataset.CLASSES, cfg.get("transfer_classes"))
        logger.info(
            f"sweeping from {args.min_lr:g} to {args.max_lr:g} in {args.iters} steps on {trainer.device}"
        )
        sweep = sweep_learning_rates(trainer, min_lr=args.min_lr, max_lr=args.max_lr, iters=args.iters)

    table, chart = write_sweep(sweep, work_dir)
    best = sweep.suggestion()
    if sweep.diverged:
        logger.info(f"the loss ran away at {sweep.lrs[-1]:.2e}")
    if best is None:
        print("no suggestion: the loss never fell; widen the sweep with --min-lr, --max-lr or --iters")
    else:
        print(f"suggested learning rate: {best:.2e} (where the smoothed loss falls fastest)")
    logger.info(f"chart: {chart}, table: {table}")
    return sweep
