"""Stochastic depth (Huang et al., 2016, "Deep Networks with Stochastic Depth")."""

from __future__ import annotations

from torch import Tensor, nn


def drop_path(x: Tensor, drop_prob: float = 0.0, training: bool = False) -> Tensor:
    """Set whole samples of ``x`` (N, ...) to zero with probability ``drop_prob``, scale up the others."""
    if drop_prob == 0.0 or not training:
        return x
    keep = 1.0 - drop_prob
    mask = x.new_empty((x.shape[0],) + (1,) * (x.dim() - 1)).bernoulli_(keep)
    return x * mask.div_(keep)


class DropPath(nn.Module):
    """:func:`drop_path` as a layer."""

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        return drop_path(x, self.drop_prob, self.training)

    def extra_repr(self) -> str:
        return f"drop_prob={self.drop_prob:g}"


def drop_path_rates(rate: float, num_blocks: int) -> list[float]:
    """Rates that rise evenly from 0 at the first block to ``rate`` at the last."""
    return [rate * i / max(num_blocks - 1, 1) for i in range(num_blocks)]
