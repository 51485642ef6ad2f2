"""A loss that is not finite: seen before the optimizer steps, without waiting for the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmseg.engine.capture import write_capture
from mmseg.engine.sections import build_section
from mmseg.utils.distributed import get_world_size
from mmseg.utils.errors import UserError

if TYPE_CHECKING:
    from mmseg.engine.trainer import Trainer


class Divergence:
    """Stops a run whose loss is NaN or infinite, or skips the step, with everything as it was before.

    Whether the loss is finite travels to this process while the backward pass is computed, and is read
    before the optimizer steps. By then the device still has the backward pass to do, so it does not run out
    of work, and the weights are still those that the loss was computed with. Running statistics of batch
    norms, which the forward pass changes, are kept aside and put back. Ranks learn it from each other, and
    all do the same.

    Args:
        on_nonfinite: ``'stop'`` ends the run. ``'skip'`` leaves out the step and goes on. None stops, but
            under float16, whose gradient scaler leaves out such steps anyway, it skips.
        max_in_a_row: With ``'skip'`` so many are left out one after another; one more stops the run.
        capture: Write ``divergence_iter_N.pth``, which ``tools/replay.py`` runs again.

    Raises:
        UserError: a value of another kind.
    """

    def __init__(self, on_nonfinite: str | None = None, max_in_a_row: int = 10, capture: bool = True) -> None:
        if on_nonfinite not in (None, "stop", "skip"):
            raise UserError(f"divergence.on_nonfinite is 'stop' or 'skip', not {on_nonfinite!r}")
        if not isinstance(max_in_a_row, int) or isinstance(max_in_a_row, bool) or max_in_a_row < 1:
            raise UserError(f"divergence.max_in_a_row counts iterations, at least 1, not {max_in_a_row!r}")
        if not isinstance(capture, bool):
            raise UserError(f"divergence.capture is True or False, not {capture!r}")
        self.on_nonfinite, self.max_in_a_row, self.capture = on_nonfinite, max_in_a_row, capture
        self.in_a_row = 0
        self._statistics: list[Tensor] | None = None
        self._kept: list[Tensor] = []
        self._answer: tuple[Tensor, Any] | None = None
        self._stream: Any = None

    @torch.no_grad()
    def keep(self, model: nn.Module) -> None:
        """Keep the running statistics aside; before each forward pass."""
        if self._statistics is None:
            norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
            self._statistics = [b for norm in norms for b in norm.buffers(recurse=False)]
            self._kept = [b.clone() for b in self._statistics]
            return
        _copy(self._kept, self._statistics)

    @torch.no_grad()
    def watch(self, loss: Tensor) -> None:
        """Send off whether ``loss`` is finite on all ranks; between forward and backward pass."""
        flag = torch.isfinite(loss.detach()).float().reshape(1)
        if loss.device.type != "cuda":
            work = dist.all_reduce(flag, dist.ReduceOp.MIN, async_op=True) if get_world_size() > 1 else None
            self._answer = flag, work
            return
        if self._stream is None:
            self._stream = torch.cuda.Stream(loss.device)
            self._host = torch.empty(1, pin_memory=True)
        self._stream.wait_stream(torch.cuda.current_stream(loss.device))
        with torch.cuda.stream(self._stream):
            if get_world_size() > 1:
                dist.all_reduce(flag, dist.ReduceOp.MIN, async_op=True).wait()  # this stream waits
            self._host.copy_(flag, non_blocking=True)
            there = torch.cuda.Event()
            there.record(self._stream)
        flag.record_stream(self._stream)
        self._answer = self._host, there

    def finite(self) -> bool:
        """Whether the loss that was watched last is finite on every rank."""
        if self._answer is None:
            return True
        value, waiting = self._answer
        self._answer = None
        if waiting is not None:
            waiting.synchronize() if isinstance(waiting, torch.cuda.Event) else waiting.wait()
        return bool(value.item() > 0)

    def passes(self, trainer: Trainer, batch: dict[str, Any], log_vars: dict[str, Tensor]) -> bool:
        """Whether the present iteration counts; False where its step is left out.

        Raises:
            UserError: on all ranks, where the run stops.
        """
        if self.finite():
            self.in_a_row = 0
            return True
        self.in_a_row += 1
        self.restore()
        scaled = trainer.scaler.is_enabled()
        skips = self.on_nonfinite == "skip" or (self.on_nonfinite is None and scaled)
        if skips and self.in_a_row <= self.max_in_a_row:
            trainer.logger.warning(
                f"iteration {trainer.iter + 1}: the loss is {_told(log_vars)}; its step is left out "
                f"({self.in_a_row} in a row; the run stops after {self.max_in_a_row})"
            )
            if not scaled:  # the scaler finds them, leaves the step out and lowers its factor
                trainer.optimizer.zero_grad(set_to_none=True)
            return False
        raise UserError(self._stopped(trainer, batch, log_vars))

    @torch.no_grad()
    def restore(self) -> None:
        """Give the batch norms the running statistics from before the forward pass."""
        _copy(self._statistics or [], self._kept)

    def _stopped(self, trainer: Trainer, batch: dict[str, Any], log_vars: dict[str, Tensor]) -> str:
        number = trainer.iter + 1
        often = f" ({self.in_a_row} in a row)" if self.in_a_row > 1 else ""
        remedy = (
            "lower optimizer.lr, lengthen the warm-up, or set optimizer_config.grad_clip; what was saved in "
            f"{trainer.work_dir} is from before"
        )
        if not self.capture:
            loss = log_vars["loss"].float().clone()
            loss[torch.isfinite(loss)] = 0.0
            if get_world_size() > 1:
                dist.all_reduce(loss)
            return f"the loss is {float(loss)} at iteration {number}{often}: {remedy}"
        told = write_capture(trainer, batch, log_vars, self.restore)
        return f"the loss is {told.loss} at iteration {number}{often}: {told.text}; {remedy}"


def build_divergence(cfg: Mapping[str, Any]) -> Divergence:
    """Read the config's ``divergence``; without it the defaults hold.

    Raises:
        UserError: a setting that there is not, or a value of another kind.
    """
    section = cfg.get("divergence")
    if section is None:
        return Divergence()
    if not isinstance(section, Mapping):
        raise UserError(f"divergence is a dictionary such as dict(on_nonfinite='skip'), not {section!r}")
    return build_section({"divergence": section}, "divergence", Divergence) or Divergence()


def _told(log_vars: dict[str, Tensor]) -> str:
    value = float(log_vars["loss"])
    return f"{value}" if value - value else "not finite on another rank"


def _copy(to: Sequence[Tensor], source: Sequence[Tensor]) -> None:
    """Copy lists of tensors; those of one type in one go."""
    for dtype in dict.fromkeys(t.dtype for t in to):
        torch._foreach_copy_([t for t in to if t.dtype is dtype], [s for s in source if s.dtype is dtype])
