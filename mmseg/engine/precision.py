"""Mixed precision from the config's ``fp16`` section."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from mmseg.utils.errors import UserError

_DTYPES = {
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class Precision:
    """How a step is computed: in float32, or under autocast in ``dtype``.

    Attributes:
        dtype: bfloat16, float16, or None for float32.
        loss_scale: Starting factor of the gradient scaler (float16 only).
        dynamic: Whether the scaler adapts its factor.
        cache: Keep the weights in ``dtype`` to the end of a forward pass, for layers that run twice.
    """

    dtype: torch.dtype | None = None
    loss_scale: float = 2.0**16
    dynamic: bool = True
    cache: bool = True

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """The context of a forward pass."""
        if self.dtype is None:
            return nullcontext()
        cache = None if self.cache else False
        return torch.autocast(device.type, dtype=self.dtype, cache_enabled=cache)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """A gradient scaler; it does nothing but for float16."""
        scales = self.dtype is torch.float16
        if not scales:
            return torch.amp.GradScaler(device.type, enabled=False)
        interval = 2000 if self.dynamic else 2**31 - 1
        growth = 2.0 if self.dynamic else 1.0 + 1e-9
        return torch.amp.GradScaler(
            device.type, init_scale=self.loss_scale, growth_factor=growth, growth_interval=interval
        )


def precision_from(
    cfg: dict[str, Any] | bool | None, optimizer_config: dict[str, Any] | None = None
) -> Precision:
    """Read ``fp16``: None is float32; ``dict()`` and ``dict(loss_scale=...)`` are float16 as in 0.25;
    ``dict(dtype='bfloat16')`` is bfloat16, which needs no scaling.

    ``optimizer_config=dict(type='Fp16OptimizerHook', loss_scale=...)`` means the same as the section.

    Raises:
        UserError: an unknown dtype or loss scale.
    """
    if cfg is True:
        cfg = {}
    if cfg is None and "Fp16" in str((optimizer_config or {}).get("type", "")):
        cfg = {"loss_scale": optimizer_config.get("loss_scale", 512.0)}
    if not isinstance(cfg, dict | bool | None):
        raise UserError(f"fp16 is a dictionary such as dict(dtype='bfloat16'), not {cfg!r}")
    if cfg is None or cfg is False or not cfg.get("enabled", True):
        return Precision()
    name = str(cfg.get("dtype", "float16"))
    if name in ("float32", "fp32"):
        return Precision()
    if name not in _DTYPES:
        raise UserError(f"fp16.dtype: unknown dtype `{name}` (known: float16, bfloat16, float32)")
    scale = cfg.get("loss_scale", "dynamic")
    if isinstance(scale, dict):
        return Precision(_DTYPES[name], float(scale.get("init_scale", 2.0**16)))
    if scale == "dynamic":
        return Precision(_DTYPES[name])
    if not isinstance(scale, (int, float)) or isinstance(scale, bool) or scale <= 0:
        raise UserError(f"fp16.loss_scale must be a positive number, 'dynamic' or a dict, not {scale!r}")
    return Precision(_DTYPES[name], float(scale), dynamic=False)
