"""Settings of a head that cannot work."""

from __future__ import annotations

from typing import Any

from mmseg.utils.errors import UserError


def check_takes_several(name: str, input_transform: str | None) -> None:
    """Raise ``UserError`` unless the head ``name``, which works on several maps, gets a list of them."""
    if input_transform != "multiple_select":
        raise UserError(f"{name} works with input_transform='multiple_select', not {input_transform!r}")


def check_takes_one(name: str, input_transform: str | None) -> None:
    """Raise ``UserError`` where the head ``name``, which works on one map, would get a list of them."""
    if input_transform == "multiple_select":
        raise UserError(
            f"{name} works on one map, but input_transform='multiple_select' hands on a list; leave it"
            " out, or use 'resize_concat'"
        )


def check_numbers(name: str, in_channels: Any, channels: Any, dropout_ratio: Any) -> None:
    """Raise ``UserError`` where the head ``name`` gets other than numbers of channels and a ratio."""
    inputs = in_channels if isinstance(in_channels, list | tuple) else [in_channels]
    if not all(isinstance(number, int) and number > 0 for number in (*inputs, channels)):
        raise UserError(
            f"{name}: in_channels={in_channels!r} and channels={channels!r} must be whole numbers above 0"
        )
    if not isinstance(dropout_ratio, int | float) or not 0 <= dropout_ratio <= 1:
        raise UserError(f"{name}: dropout_ratio is a share from 0 to 1, not {dropout_ratio!r}")
