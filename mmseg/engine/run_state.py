"""What a checkpoint holds of a run, and how a run goes on from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmseg.engine.optimizer import load_optimizer_state
from mmseg.utils.checkpoint import load_into, state_dict_of
from mmseg.utils.distributed import get_world_size
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger

if TYPE_CHECKING:
    from mmseg.engine.trainer import Trainer


def run_state(trainer: Trainer, accumulated: dict[str, Any] | None = None) -> dict[str, Any]:
    """Everything that a resume needs.

    With ``ema`` the ``state_dict`` holds the averaged weights: those that were scored, and that every
    reader of the file shall use. The weights that training goes on with then stand in ``ema``.

    Args:
        trainer: The run.
        accumulated: The gradients of a group of iterations not yet at its end.
    """
    averages = {} if trainer.ema is None else trainer.ema.weights
    optimizer = trainer.optimizer.state_dict()
    hooks = {f"{i}.{type(h).__name__}": h.state for i, h in enumerate(trainer.hooks)}
    stopping = trainer.scoring.early_stopping
    if stopping is not None:
        hooks["early_stopping"] = stopping.state
    if hasattr(trainer.model, "training_state"):  # what its predictions do not need, such as a distiller's
        hooks["model"] = trainer.model.training_state()
    return {
        "meta": {**trainer.meta, "iter": trainer.iter, "epoch": trainer.epoch},
        "state_dict": {**trainer.model.state_dict(), **averages},
        "optimizer": optimizer if accumulated is None else {**optimizer, "accumulated": accumulated},
        "schedule": {"iter": trainer.iter},
        "scaler": trainer.scaler.state_dict(),
        "sampler": {
            "iter": trainer.iter,
            "world_size": get_world_size(),
            "batch_size": trainer.batch_size,
        },
        "rng": {"seed": trainer.seed},
        "ema": None if trainer.ema is None else trainer.ema.state(),
        "best": dict(trainer.best),
        "hooks": hooks,
    }


def resume_run(trainer: Trainer, checkpoint: dict[str, Any], source: str) -> None:
    """Continue from ``checkpoint`` (ours or 0.25's): weights, averages, optimizer, position, best score.

    Raises:
        UserError: the checkpoint belongs to another model or holds no training state.
    """
    logger = get_root_logger()
    meta = checkpoint.get("meta") or {}
    if "iter" not in meta or not checkpoint.get("optimizer"):
        raise UserError(f"{source} holds weights only and cannot be resumed; use --load-from {source}")
    averaged = checkpoint.get("ema") or {}
    weights = {**state_dict_of(checkpoint), **averaged.get("training_weights", {})}
    load_into(trainer.model, weights, purpose="resume", source=source, logger=logger)
    load_optimizer_state(trainer.optimizer, checkpoint["optimizer"], trainer.model)
    if checkpoint.get("scaler"):
        trainer.scaler.load_state_dict(checkpoint["scaler"])
    trainer.iter = int(meta["iter"])
    trainer.accumulation.resume(trainer.model, checkpoint["optimizer"].get("accumulated"), trainer.iter)
    if trainer.ema is not None:
        trainer.ema.start(trainer.model, averaged.get("weights"))
        if not averaged:
            logger.warning(f"{source} has no averaged weights; the average starts from its weights")
    trainer.best = dict(checkpoint.get("best") or {})
    saved_hooks = checkpoint.get("hooks") or {}
    for i, hook in enumerate(trainer.hooks):
        hook.state = saved_hooks.get(f"{i}.{type(hook).__name__}", hook.state)
    if hasattr(trainer.model, "load_training_state"):
        trainer.model.load_training_state(saved_hooks.get("model") or {})
    stopping = trainer.scoring.early_stopping
    if stopping is not None and saved_hooks.get("early_stopping"):
        stopping.state = dict(saved_hooks["early_stopping"])
        trainer.should_stop = stopping.should_stop
        if trainer.should_stop:
            logger.info(f"{source} was stopped early: {stopping.reason()}; raise patience to go on")
    sampler = checkpoint.get("sampler") or {}
    here = {"world_size": get_world_size(), "batch_size": trainer.batch_size}
    changed = {k: (sampler[k], v) for k, v in here.items() if k in sampler and sampler[k] != v}
    for key, (before, now) in changed.items():
        logger.warning(f"resume: {key} was {before} and is {now}; the order of the images changes")
    logger.info(f"resumed from {source} at iteration {trainer.iter}")
