"""The training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.engine.accumulation import Accumulation
from mmseg.engine.compilation import compile_model
from mmseg.engine.divergence import build_divergence
from mmseg.engine.ema import Ema
from mmseg.engine.evaluator import Evaluation, evaluate, share_statistics
from mmseg.engine.freeze import freeze_parameters, keep_in_eval
from mmseg.engine.historic_hooks import with_historic_hooks
from mmseg.engine.hooks import Hook, build_hooks
from mmseg.engine.loaders import loader_settings, train_loader, val_loader
from mmseg.engine.meter import Meter
from mmseg.engine.milestones import keep_best, reach_milestone, stop_early
from mmseg.engine.monitor import plan_evaluation
from mmseg.engine.optimizer import build_optimizer
from mmseg.engine.parallel import data_parallel
from mmseg.engine.plan import plan_run
from mmseg.engine.precision import precision_from
from mmseg.engine.prefetch import device_batches
from mmseg.engine.profiling import build_profiling
from mmseg.engine.progress import ProgressBar
from mmseg.engine.run_state import joined_state, resume_run, run_state
from mmseg.engine.schedule import build_lr_schedule
from mmseg.engine.sections import build_section
from mmseg.engine.sharding import full, sharding_from
from mmseg.engine.signals import Interruptible, StopSignals, leave
from mmseg.engine.skips import SkippedSamples
from mmseg.engine.writers import Examples, Writer, start_writers
from mmseg.models.layers.norm import revert_sync_batchnorm
from mmseg.utils.allocator import keep_memory
from mmseg.utils.checkpoint import point_latest, prune_checkpoints, save_checkpoint
from mmseg.utils.distributed import barrier, get_rank, get_world_size
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from mmseg.utils.random import seed_iteration
from mmseg.utils.save_failures import SaveFailures
from mmseg.utils.watchdog import beat

_OPTIMIZER_HOOKS = ("OptimizerHook", "Fp16OptimizerHook", "GradientCumulativeOptimizerHook")
_OPTIMIZER_HOOKS += ("GradientCumulativeFp16OptimizerHook", "DistOptimizerHook")


class Trainer:
    """Trains a segmentor as a config says; ``run()`` is the loop.

    Args:
        model: A segmentor, with its initial weights.
        train_dataset: Gives training samples.
        cfg: The config; ``data``, ``optimizer``, ``optimizer_config``, ``lr_config``, ``runner``,
            ``evaluation``, ``workflow``, ``checkpoint_config``, ``log_config``, ``fp16``, ``ema``,
            ``early_stopping``, ``frozen_parameters``, ``compile``, ``channels_last``, ``profiler_config``,
            ``custom_hooks``, ``divergence`` are read.
        work_dir: Receives checkpoints and logs.
        device: Where to train.
        seed: Of the data order, the augmentations, dropout.
        val_dataset: Scored at the evaluation interval; None trains without evaluation.
        timestamp: Names the log files.
        meta: Goes into every checkpoint (``CLASSES``, ``PALETTE``, ``config``, ...).

    Attributes:
        iter: Finished iterations.
        best: The best score so far: ``key``, ``score``, ``file``.
    """

    def __init__(
        self,
        model: nn.Module,
        train_dataset: Any,
        cfg: Mapping[str, Any],
        *,
        work_dir: str,
        device: torch.device,
        seed: int = 0,
        val_dataset: Any = None,
        timestamp: str | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        self.cfg, self.work_dir, self.device, self.seed = cfg, str(work_dir), device, seed
        cfg = with_historic_hooks(cfg)
        self.timestamp = timestamp or time.strftime("%Y%m%d_%H%M%S")
        self.meta = dict(meta or {})
        self.logger = get_root_logger()
        self.train_dataset, self.val_dataset = train_dataset, val_dataset
        self.iter, self.best, self.should_stop = 0, {}, False
        self.milestone_due, self.stop = False, StopSignals(device)
        self.writers: list[Writer] = []
        self.examples = Examples(None, [])
        self.skips = SkippedSamples(train_dataset, self.work_dir)

        self.batch_size = loader_settings(cfg["data"], "train")["samples_per_gpu"]
        self.iters_per_epoch = len(train_dataset) // (self.batch_size * get_world_size())
        self.plan = plan_run(cfg, max(1, self.iters_per_epoch))

        keep_memory(device)
        if device.type != "cuda" or get_world_size() == 1:
            model = revert_sync_batchnorm(model)
        self.channels_last = bool(cfg.get("channels_last"))
        layout = torch.channels_last if self.channels_last else torch.preserve_format
        self.sharding = sharding_from(cfg, device)
        self.frozen_norms = freeze_parameters(model, cfg.get("frozen_parameters"))
        if self.sharding is None:
            self.model = model.to(device, memory_format=layout)
        else:
            self.model = self.sharding.place(model, device)
        self.optimizer = build_optimizer(self.model, cfg["optimizer"])
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule = build_lr_schedule(
            cfg.get("lr_config"),
            self.optimizer,
            self.plan.max_iters,
            self.plan.iters_per_epoch,
            by_epoch=self.plan.by_epoch,
        )
        optimizer_config = dict(cfg.get("optimizer_config") or {})
        kind = optimizer_config.get("type", "OptimizerHook")
        if kind not in _OPTIMIZER_HOOKS:
            raise UserError(f"optimizer_config.type: unknown `{kind}` (known: {', '.join(_OPTIMIZER_HOOKS)})")
        self.grad_clip = optimizer_config.get("grad_clip")
        self.accumulation = Accumulation(optimizer_config.get("cumulative_iters", 1))
        self.precision = precision_from(cfg.get("fp16"), optimizer_config)
        if self.sharding is not None:  # gathered weights are not to be kept as copies of half the size
            self.precision = replace(self.precision, cache=False)
        self.scaler = self.precision.scaler(device)
        self.ema = build_section(cfg, "ema", Ema)
        self.hooks: list[Hook] = build_hooks(cfg.get("custom_hooks"))
        self.scoring = plan_evaluation(cfg, self.model, val_dataset)
        self.profiling = build_profiling(cfg)
        self.compiled = compile_model(self.model, cfg)
        self.divergence = build_divergence(cfg)
        self.failures = SaveFailures(self.logger)
        self.parallel = self.model
        if self.sharding is None:
            unused = bool(cfg.get("find_unused_parameters", False))
            self.parallel = data_parallel(self.model, device, find_unused_parameters=unused)

    # ------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Train to the end of the plan."""
        plan = self.plan
        run_info = {
            "work_dir": self.work_dir,
            "timestamp": self.timestamp,
            "config": self.cfg,
            "meta": self.meta,
            "iter": self.iter,
            "milestone_due": self.milestone_due,
        }
        self.writers = start_writers(self.cfg.get("log_config"), run_info)
        self.examples = Examples(self.val_dataset, self.writers)
        self.skips.start(resumed=self.iter > 0)
        self._call("before_run")
        self.logger.info(
            f"training from iteration {self.iter} to {plan.max_iters}: {len(self.train_dataset)} images, "
            f"batch {self.batch_size} x {get_world_size()}, {plan.iters_per_epoch} iterations per epoch, "
            f"on {self.device}"
        )
        meter = Meter(self.device)
        batches = self.batches()
        self.train_mode()
        if self.ema is not None and not self.ema.started:
            self.ema.start(self.model)
        if self.profiling is not None:
            self.profiling.start(self.work_dir, self.device)

        with (
            self.stop,
            ProgressBar("train", plan.max_iters, done=self.iter, enabled=get_rank() == 0) as bar,
        ):
            if self.milestone_due:  # an evaluation or a checkpoint that the run before did not finish
                reach_milestone(self)
            while self.iter < plan.max_iters and not self.should_stop:
                meter.start_data()
                batch = next(batches)
                meter.end_data()
                seed_iteration(self.seed, self.iter, get_rank())
                self.schedule.step(self.iter)
                self._call("before_iter", batch)

                log_vars = self.forward_backward(batch)
                counts = self.divergence.passes(self, batch, log_vars)  # False: the loss is not finite
                if self.accumulation.steps_after(self.iter, plan.max_iters):
                    self.optimizer_step(log_vars)
                if self.ema is not None:
                    self.ema.update(self.iter)
                self.iter += 1

                self._call("after_iter", log_vars)
                meter.add(log_vars if counts else {})
                bar.advance()
                ends_epoch = self.iter % plan.iters_per_epoch == 0
                if self.profiling is not None:
                    self.profiling.step(ends_epoch)
                if self.iter % plan.log_interval == 0 or self.iter == plan.max_iters:
                    self._log_train(meter, bar)
                if ends_epoch:
                    self._call("after_epoch")
                beat("training", self.iter)
                if self.stop.agreed():  # SIGTERM, SIGUSR1 or Ctrl-C
                    leave(self, self.stop)
                if reach_milestone(self):
                    meter.restart_clock()

        beat("the end of the run")
        if self.profiling is not None:
            self.profiling.stop()
        self._call("after_run")
        for writer in self.writers:
            writer.close()
        self.failures.finish()

    def forward_backward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One forward and backward pass; returns the values to log, detached and still on the device."""
        steps = self.accumulation.steps_after(self.iter, self.plan.max_iters)
        sync = nullcontext() if steps or self.parallel is self.model else self.parallel.no_sync()
        self.divergence.keep(self.model)
        with sync:
            with self.precision.autocast(self.device):
                losses = self.parallel(**batch, return_loss=True)
                loss, log_vars = self.model.parse_losses(losses)
            self.divergence.watch(loss)
            share = self.accumulation.size(self.iter, self.plan.max_iters)
            self.scaler.scale(loss / share).backward()
        return dict(log_vars)

    def optimizer_step(self, log_vars: dict[str, Tensor]) -> None:
        """Step with the gradients so far and clear them; clipping adds ``grad_norm`` to ``log_vars``."""
        if self.grad_clip is not None:
            self.scaler.unscale_(self.optimizer)
            parameters = [p for p in self.model.parameters() if p.grad is not None]
            if parameters:
                log_vars["grad_norm"] = full(nn.utils.clip_grad_norm_(parameters, **self.grad_clip))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.accumulation.begin = self.iter + 1

    def train_mode(self) -> None:
        """Training mode, but for the batch norms of frozen parts."""
        self.parallel.train()
        keep_in_eval(self.frozen_norms)
        self.accumulation.check(self.model)

    def batches(self) -> Any:
        """Training batches on the device, endless, from the present iteration on."""
        loader = train_loader(self.train_dataset, self.cfg["data"], seed=self.seed, start_iter=self.iter)
        loader.on_skips = self.skips.add
        return device_batches(loader, self.device, self.channels_last)

    # ------------------------------------------------------------------ evaluation, logging

    def evaluate(self) -> Evaluation:
        """Score the validation set (with the averaged weights, where there are), log the scores, keep the
        best checkpoint, and see whether the run shall stop early."""
        if (self.cfg.get("evaluation") or {}).get("broadcast_bn_buffer", True):
            share_statistics(self.model)
        with ExitStack() as stack:
            if self.ema is not None:
                stack.enter_context(self.ema.applied())
            if self.sharding is not None:
                stack.enter_context(self.sharding.whole(self.model))
            if self.compiled is not None:
                stack.enter_context(self.compiled.paused())
            result = evaluate(
                self.model,
                self._interruptible(self._val_loader()),
                device=self.device,
                metrics=self.scoring.metrics,
                precision=self.precision,
                on_prediction=self.examples.sink,
                wanted=self.examples.indices,
                with_loss=self.scoring.with_loss,
            )
        self.logger.info(result.table)
        scores = {**result.losses, **result.scores}
        self._call("after_eval", scores)
        record = {**self._progress(), "mode": "val", "lr": self.optimizer.param_groups[0]["lr"], **scores}
        self._write(record)
        self.examples.report(self.writers, record, result)
        self.milestone_due = False
        stop_early(self, scores)
        keep_best(self, scores)
        return result

    def _log_train(self, meter: Meter, bar: ProgressBar) -> None:
        """Average over the interval, over ranks too; the only place where the loop waits for the device."""
        values = meter.collect()
        self.skips.share()
        self._write(
            {
                **self._progress(),
                "mode": "train",
                "lr": self.optimizer.param_groups[0]["lr"],
                "eta": bar.eta_seconds(),
                **values,
            }
        )

    def _progress(self) -> dict[str, Any]:
        """Where the run stands, as log records say it (epochs count from 1 while they run)."""
        plan = self.plan
        return {
            "epoch": max(1, math.ceil(self.iter / plan.iters_per_epoch)),
            "iter": self.iter,
            "max_iters": plan.max_iters,
            "by_epoch": plan.by_epoch,
            "inner_iter": (self.iter - 1) % plan.iters_per_epoch + 1,
            "iters_per_epoch": plan.iters_per_epoch,
        }

    def _write(self, record: dict[str, Any]) -> None:
        for writer in self.writers:
            writer.write(record)

    # ------------------------------------------------------------------ checkpoints

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return self.iter // self.plan.iters_per_epoch

    def save(self, name: str, latest: bool = True) -> bool:
        """Write a checkpoint called ``name`` on rank 0; ``latest.pth`` then names it too.

        Every rank calls it. Where the disk does not take it, the log says so, earlier files are as they were
        and the run goes on.

        Returns:
            Whether it is written, the same on every rank.

        Raises:
            UserError: it holds an object that no checkpoint can hold.
        """
        # Both ask every rank.
        state = joined_state(self, self.accumulation.state(self.model, self.iter))
        path = os.path.join(self.work_dir, name)

        def write() -> None:
            save_checkpoint(state, path)
            if latest and name != "latest.pth":
                point_latest(path)

        saved = self.failures.attempt(write)
        if saved and get_rank() == 0:
            if self.plan.max_keep > 0:
                for prefix in ("iter_", "epoch_"):
                    prune_checkpoints(self.work_dir, prefix, self.plan.max_keep, upto=self._number(prefix))
            self.logger.info(f"saved {path}")
            for writer in self.writers:
                writer.checkpoint(path, {"iter": self.iter, "epoch": self.epoch, "best": dict(self.best)})
        barrier()
        return saved

    def _number(self, prefix: str) -> int:
        """The number that a checkpoint of now has: of iterations or of epochs."""
        return self.iter if prefix == "iter_" else self.epoch

    def state(self, accumulated: dict[str, Any] | None = None) -> dict[str, Any]:
        """Everything that a resume needs, as a checkpoint holds it; see ``run_state``."""
        return run_state(self, accumulated)

    def resume(self, checkpoint: dict[str, Any], source: str) -> None:
        """Continue from ``checkpoint`` (ours or 0.25's), which came from the file ``source``.

        Raises:
            UserError: the checkpoint belongs to another model or holds no training state.
        """
        resume_run(self, checkpoint, source)

    # ------------------------------------------------------------------ parts

    def _val_loader(self) -> Any:
        if not hasattr(self, "_cached_val_loader"):
            self._cached_val_loader = val_loader(self.val_dataset, self.cfg["data"], seed=self.seed)
        return self._cached_val_loader

    def _interruptible(self, loader: Any) -> Any:
        """``loader``, in whose midst a run may be stopped if the iteration has been saved before."""
        go = partial(leave, self, self.stop, saved=True)
        return Interruptible(loader, self.stop, leave=go, enabled=self.milestone_due)

    def _call(self, name: str, *args: Any) -> None:
        for hook in self.hooks:
            getattr(hook, name)(self, *args)
