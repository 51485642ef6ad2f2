"""Gradients of several iterations for one optimizer step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmseg.engine.sharding import is_sharded, shard_like
from mmseg.utils.distributed import get_rank, get_world_size
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger


class Accumulation:
    """Which iterations belong to one optimizer step, and the gradients between two of them.

    Groups end at multiples of ``cumulative_iters`` and at the end of the run, as in mmcv 1.x. Every loss
    is divided by the number of iterations in its group, so that a group steps like its batches in one.

    Args:
        cumulative_iters: Iterations in a group.

    Attributes:
        begin: The first iteration (0-based) of the present group.
    """

    def __init__(self, cumulative_iters: int = 1) -> None:
        if (
            not isinstance(cumulative_iters, int)
            or isinstance(cumulative_iters, bool)
            or cumulative_iters < 1
        ):
            raise UserError(
                f"optimizer_config.cumulative_iters must be a positive integer, not {cumulative_iters!r}"
            )
        self.cumulative_iters = cumulative_iters
        self.begin = 0

    def end_of(self, iteration: int, max_iters: int) -> int:
        """The iteration before which the group of ``iteration`` steps."""
        return min((iteration // self.cumulative_iters + 1) * self.cumulative_iters, max_iters)

    def steps_after(self, iteration: int, max_iters: int) -> bool:
        """Whether ``iteration`` (0-based) ends with an optimizer step."""
        return iteration + 1 == self.end_of(iteration, max_iters)

    def size(self, iteration: int, max_iters: int) -> int:
        """Number of iterations in the group of ``iteration``."""
        return self.end_of(iteration, max_iters) - self.begin

    def check(self, model: nn.Module) -> None:
        """Say in the log what differs from a large batch."""
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        if self.cumulative_iters > 1 and any(m.training for m in norms):
            get_root_logger().info(
                f"gradients of {self.cumulative_iters} iterations are accumulated; "
                "batch norm still sees the images of one"
            )

    def state(self, model: nn.Module, iteration: int) -> dict[str, Any] | None:
        """What a checkpoint after ``iteration`` iterations keeps: the gradients of a group not yet at its
        end, those of every rank; None between groups. Called on every rank; rank 0 gets the result."""
        if iteration == self.begin:
            return None
        own = {n: p.grad.detach() for n, p in model.named_parameters() if p.grad is not None}
        parts: list[Any] = [own]
        sharded = any(map(is_sharded, own.values()))  # then they are the mean over the ranks already
        if get_world_size() > 1 and not sharded:
            parts = [None] * get_world_size()
            own = {name: grad.cpu() for name, grad in own.items()}
            dist.gather_object(own, parts if get_rank() == 0 else None)
        return {"begin": self.begin, "gradients": parts}

    @torch.no_grad()
    def resume(self, model: nn.Module, saved: Mapping[str, Any] | None, iteration: int) -> None:
        """Go on after ``iteration`` iterations with what ``state`` gave.

        On another number of ranks, or where the model is sharded, each of them takes the mean of the saved
        gradients.
        """
        self.begin = iteration if saved is None else int(saved["begin"])
        if saved is None:
            if iteration % self.cumulative_iters:
                get_root_logger().warning(
                    f"resume: iteration {iteration} is not a multiple of cumulative_iters="
                    f"{self.cumulative_iters}; the next optimizer step takes fewer iterations"
                )
            return
        parts: Sequence[Mapping[str, Tensor]] = saved["gradients"]
        here = get_rank()
        for name, parameter in model.named_parameters():
            if name not in parts[0]:
                continue
            if len(parts) == get_world_size() and not is_sharded(parameter):
                grad = parts[here][name]
            else:
                grad = torch.stack([part[name].float() for part in parts]).mean(0)
            parameter.grad = torch.empty_like(parameter).copy_(shard_like(grad, parameter))
