"""The check of ``out_indices`` that the backbones of stages share."""

from __future__ import annotations

from typing import Any

from mmseg.utils.errors import UserError


def check_indices(name: str, out_indices: Any, stages: int) -> None:
    """Raise ``UserError`` unless ``out_indices`` is a list of some of the stages, counted from 0."""
    several = isinstance(out_indices, list | tuple) and len(out_indices) > 0
    if not several or not all(isinstance(i, int) and 0 <= i < stages for i in out_indices):
        raise UserError(f"{name}: out_indices={out_indices!r} must name stages 0 to {stages - 1}, in a list")
