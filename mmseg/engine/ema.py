"""Exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmseg.engine.sharding import local_part, shard_like
from mmseg.utils.errors import UserError


class Ema:
    """A moving average of every parameter, which is evaluated in place of the weights being trained.

    After iteration t (0-based, every ``interval``-th) ``average += m * (weight - average)`` with
    ``m = min(momentum, (1 + t) / (warm_up + t))``, as mmcv 1.x warms it up. Buffers, such as the running
    statistics of batch norm, are not averaged: those of the model are used.

    In a checkpoint ``state_dict`` holds the averages, so that whatever reads the file has the weights
    that its score belongs to, and ``ema`` holds them again (``weights``, the same storage) beside those
    that training goes on with (``training_weights``).

    Args:
        momentum: Share of the new weights, in (0, 1).
        interval: Iterations between updates.
        warm_up: The larger, the longer the average is slowed at the beginning.

    Raises:
        UserError: a value out of range.
    """

    def __init__(self, momentum: float = 0.0002, interval: int = 1, warm_up: int = 100) -> None:
        if not isinstance(momentum, int | float) or not 0 < momentum < 1:
            raise UserError(
                f"ema.momentum is the share of the new weights, between 0 and 1, not {momentum!r}; "
                "a decay of 0.9998 is momentum=0.0002"
            )
        if not isinstance(interval, int) or interval < 1:
            raise UserError(f"ema.interval must be a positive number of iterations, not {interval!r}")
        if not isinstance(warm_up, int) or warm_up < 0:
            raise UserError(f"ema.warm_up must not be negative, and is {warm_up!r}")
        self.momentum, self.interval, self.warm_up = momentum, interval, warm_up
        self.weights: dict[str, Tensor] = {}

    @property
    def started(self) -> bool:
        """Whether there are averages yet."""
        return bool(self.weights)

    @torch.no_grad()
    def start(self, model: nn.Module, saved: Mapping[str, Tensor] | None = None) -> None:
        """Begin with the present weights of ``model``, or with ``saved`` averages by name."""
        entries = model.state_dict(keep_vars=True).items()
        self._named = {name: value for name, value in entries if isinstance(value, nn.Parameter)}
        averages: dict[int, Tensor] = {}  # a parameter under two names has one average
        for name, parameter in self._named.items():
            if id(parameter) not in averages:
                averages[id(parameter)] = parameter.detach().clone()
                if saved is not None:
                    averages[id(parameter)].copy_(shard_like(saved[name], parameter))
            self.weights[name] = averages[id(parameter)]
        self._parameters = list({id(p): p for p in self._named.values()}.values())
        self._averages = list(averages.values())

    def momentum_at(self, iteration: int) -> float:
        """The share of the new weights after ``iteration`` (0-based)."""
        if self.warm_up + iteration == 0:
            return self.momentum
        return min(self.momentum, (1 + iteration) / (self.warm_up + iteration))

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Take in the weights after ``iteration`` (0-based)."""
        if iteration % self.interval == 0:
            # lerp leaves a weight that does not change exactly as it is
            averages, weights = map(_local_parts, (self._averages, self._parameters))
            torch._foreach_lerp_(averages, weights, self.momentum_at(iteration))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the averages for a while; the weights come back to the bit."""
        kept = [p.detach().clone() for p in self._parameters]
        try:
            self._set(self._averages)
            yield
        finally:
            self._set(kept)

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        torch._foreach_copy_(_local_parts(self._parameters), _local_parts(values))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps under ``ema``."""
        training = {name: p.detach() for name, p in self._named.items()}
        return {"weights": dict(self.weights), "training_weights": training}


def _local_parts(tensors: list[Tensor]) -> list[Tensor]:
    """Of a sharded model every rank averages its slices."""
    return [local_part(tensor) for tensor in tensors]
