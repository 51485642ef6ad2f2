"""What is written when a run diverges: the state before the step, its batch, and where it went wrong."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from mmseg.datasets.samplers import TrainSampler
from mmseg.engine.nonfinite import largest, statistics, trace_step
from mmseg.engine.prefetch import to_device
from mmseg.engine.run_state import joined_state
from mmseg.utils.checkpoint import save_checkpoint, to_plain
from mmseg.utils.distributed import get_rank, get_world_size
from mmseg.utils.errors import UserError
from mmseg.utils.watchdog import beat

if TYPE_CHECKING:
    from mmseg.engine.trainer import Trainer

# What a fresh process needs to build the model and to compute the step as it was computed.
SETTINGS = ("model", "train_cfg", "test_cfg", "fp16", "optimizer_config", "frozen_parameters")
SETTINGS += ("channels_last",)


@dataclass(frozen=True)
class Told:
    """What all ranks say: the loss, and where the first bad value is and what was written."""

    loss: float
    text: str


def write_capture(
    trainer: Trainer, batch: dict[str, Any], log_vars: dict[str, Tensor], restore: Callable[[], None]
) -> Told:
    """Compute the step once more to find the first value that is not finite, and write the capture.

    Called on all ranks, before the optimizer has stepped. The first rank whose loss is not finite writes
    ``WORK_DIR/divergence_iter_N.pth``: a checkpoint as any other, of the state before the step, with an
    entry ``divergence``: the batch, the losses, ``first``, statistics of the batch, files, settings.

    Args:
        trainer: The run.
        batch: Of the step, on the device.
        log_vars: Its losses.
        restore: Puts the running statistics back as they were before the step.
    """
    beat("the search for the first value that is not finite")
    rank, number = get_rank(), trainer.iter + 1
    losses = {name: float(value) for name, value in log_vars.items()}
    trainer.optimizer.zero_grad(set_to_none=True)
    entry: dict[str, Any] = {
        "iteration": number,
        "rank": rank,
        "world_size": get_world_size(),
        "seed": trainer.seed,
        "device": trainer.device.type,
        "torch": torch.__version__,
        "compiled": trainer.compiled is not None,
        "loss_scale": float(trainer.scaler.get_scale()),
        "losses": losses,
        "samples": _samples(trainer),
        "files": [meta.get("filename") for meta in batch.get("img_metas", []) if isinstance(meta, dict)],
        "statistics": statistics(batch),
        "batch": to_device(batch, torch.device("cpu")),
        "settings": _settings(trainer),
    }
    try:
        trace = _traced(trainer, batch)
        entry["first"], where = trace.first, trace.told()
        entry["activations"] = largest(trace.activations)
    except RuntimeError as error:  # out of memory: the rest is worth keeping
        reason = str(error).partition("\n")[0][:200]
        entry["first"], where = None, f"the step could not be computed once more ({reason})"
    restore()

    bad = not math.isfinite(losses["loss"])
    first = _first_rank(bad)
    text = ""
    state = joined_state(trainer, rank=first)  # asks every rank
    if state is not None:
        path = os.path.join(trainer.work_dir, f"divergence_iter_{number}.pth")
        text = f"{where}; " + _written({**state, "divergence": entry}, path)
        if get_world_size() > 1:
            text = f"on rank {rank} {text}"
    loss, text = _from_rank(first, (losses["loss"], text))
    return Told(loss, text)


def _written(checkpoint: dict[str, Any], path: str) -> str:
    try:
        save_checkpoint(checkpoint, path)
    except UserError as error:
        return f"nothing was captured: {error}"
    return f"`python tools/replay.py {path}` runs that step again"


def _traced(trainer: Trainer, batch: dict[str, Any]) -> Any:
    """Every rank does so: batch norms that are synchronised wait for each other."""
    with torch.compiler.set_stance("force_eager"), torch.no_grad():
        return trace_step(
            trainer.model,
            batch,
            precision=trainer.precision,
            device=trainer.device,
            seed=trainer.seed,
            iteration=trainer.iter,
            rank=get_rank(),
        )


def _samples(trainer: Trainer) -> list[list[int]]:
    """The (epoch, index) of each sample of the batch; where a bad one was skipped, of that one."""
    sampler = TrainSampler(
        len(trainer.train_dataset),
        trainer.batch_size,
        trainer.seed,
        get_rank(),
        get_world_size(),
        start_iter=trainer.iter,
    )
    return [list(key) for key in next(iter(sampler))]


def _settings(trainer: Trainer) -> dict[str, Any] | None:
    """The sections of the config that a replay needs; None where they hold more than values."""
    try:
        return to_plain({key: trainer.cfg[key] for key in SETTINGS if trainer.cfg.get(key) is not None})
    except UserError:
        return None


def _first_rank(bad: bool) -> int:
    if get_world_size() == 1:
        return 0
    found: list[Any] = [None] * get_world_size()
    dist.all_gather_object(found, bad)
    return found.index(True) if True in found else 0


def _from_rank(rank: int, value: Any) -> Any:
    if get_world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=rank)
    return values[0]
