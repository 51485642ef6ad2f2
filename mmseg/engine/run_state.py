"""What a checkpoint holds of a run, and how a run goes on from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from mmseg.engine.optimizer import load_optimizer_state
from mmseg.engine.sharding import gather_shards
from mmseg.utils.checkpoint import load_into, state_dict_of
from mmseg.utils.distributed import get_rank, get_world_size
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
        "schedule": {"iter": trainer.iter, "milestone_due": trainer.milestone_due},
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


def joined_state(
    trainer: Trainer, accumulated: dict[str, Any] | None = None, rank: int = 0
) -> dict[str, Any] | None:
    """What :func:`run_state` gives, whole on ``rank`` and None on the others; every rank calls this."""
    if trainer.sharding is not None:
        state = gather_shards(run_state(trainer, accumulated), rank)
        return state if get_rank() == rank else None
    return run_state(trainer, accumulated) if get_rank() == rank else None


def resume_run(trainer: Trainer, checkpoint: dict[str, Any], source: str) -> None:
    """Continue from ``checkpoint`` (ours or 0.25's): weights, averages, optimizer, position, best score.

    Raises:
        UserError: the checkpoint belongs to another model, holds no training state, or a part of it is of no
            kind that stands there.
    """
    logger = get_root_logger()
    meta = _part(checkpoint, "meta", source)
    saved_optimizer = _part(checkpoint, "optimizer", source)
    if "iter" not in meta or not saved_optimizer:
        raise UserError(f"{source} holds weights only and cannot be resumed; use --load-from {source}")
    averaged = _part(checkpoint, "ema", source)
    with _restoring("ema", source):
        weights = {**state_dict_of(checkpoint), **averaged.get("training_weights", {})}
    load_into(trainer.model, weights, purpose="resume", source=source, logger=logger)
    trainer.iter = int(meta["iter"])
    with _restoring("optimizer", source):
        load_optimizer_state(trainer.optimizer, saved_optimizer, trainer.model)
        _check_optimizer(trainer)
        trainer.accumulation.resume(trainer.model, saved_optimizer.get("accumulated"), trainer.iter)
    if _part(checkpoint, "scaler", source):
        with _restoring("scaler", source):
            trainer.scaler.load_state_dict(checkpoint["scaler"])
            float(trainer.scaler.get_scale())
    trainer.milestone_due = bool(_part(checkpoint, "schedule", source).get("milestone_due"))
    if trainer.ema is not None:
        with _restoring("ema", source):
            trainer.ema.start(trainer.model, averaged.get("weights"))
        if not averaged:
            logger.warning(f"{source} has no averaged weights; the average starts from its weights")
    with _restoring("best", source):
        trainer.best = dict(_part(checkpoint, "best", source))
        if trainer.best:
            trainer.best = {
                "key": str(trainer.best["key"]),
                "score": float(trainer.best["score"]),
                "file": os.path.basename(str(trainer.best["file"])),
            }
    saved_hooks = _part(checkpoint, "hooks", source)
    for i, hook in enumerate(trainer.hooks):
        name = f"{i}.{type(hook).__name__}"
        if name in saved_hooks and not isinstance(saved_hooks[name], type(hook.state)):
            raise _broken(f"hooks.{name}", source, f"it is a {type(saved_hooks[name]).__name__}")
        hook.state = saved_hooks.get(name, hook.state)
    if hasattr(trainer.model, "load_training_state"):
        with _restoring("hooks.model", source):
            trainer.model.load_training_state(saved_hooks.get("model") or {})
    stopping = trainer.scoring.early_stopping
    if stopping is not None and saved_hooks.get("early_stopping"):
        with _restoring("hooks.early_stopping", source):
            state = dict(saved_hooks["early_stopping"])
            best = None if state["best"] is None else float(state["best"])
            stopping.state = {**state, "best": best, "waited": int(state["waited"])}
        trainer.should_stop = stopping.should_stop
        if trainer.should_stop:
            logger.info(f"{source} was stopped early: {stopping.reason()}; raise patience to go on")
    sampler = _part(checkpoint, "sampler", source)
    here = {"world_size": get_world_size(), "batch_size": trainer.batch_size}
    changed = {k: (sampler[k], v) for k, v in here.items() if k in sampler and sampler[k] != v}
    for key, (before, now) in changed.items():
        logger.warning(f"resume: {key} was {before} and is {now}; the order of the images changes")
    logger.info(f"resumed from {source} at iteration {trainer.iter}")


def _part(checkpoint: Mapping[str, Any], name: str, source: str) -> Mapping[str, Any]:
    """A dictionary of the checkpoint, empty where there is none."""
    part = checkpoint.get(name)
    if part is None or isinstance(part, Mapping):
        return part or {}
    raise _broken(name, source, f"it is a {type(part).__name__}")


@contextmanager
def _restoring(name: str, source: str) -> Iterator[None]:
    """One line for whatever a broken part of a checkpoint makes fail."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise _broken(name, source, f"{type(error).__name__}: {reason}") from error


def _broken(name: str, source: str, reason: str) -> UserError:
    return UserError(
        f"{source} cannot be resumed: its `{name}` is of no kind that stands there ({reason}); resume from "
        f"another file, or start from its weights with --load-from {source}"
    )


def _check_optimizer(trainer: Trainer) -> None:
    """Raise where the state of a parameter is none: the first step would fail otherwise."""
    for parameter, state in trainer.optimizer.state.items():
        for key, value in state.items():
            fits = torch.is_tensor(value) and (value.ndim == 0 or value.shape == parameter.shape)
            if value is not None and not fits and not isinstance(value, int | float):
                kind = tuple(value.shape) if torch.is_tensor(value) else type(value).__name__
                raise TypeError(f"{key} of a parameter of shape {tuple(parameter.shape)} is {kind}")
