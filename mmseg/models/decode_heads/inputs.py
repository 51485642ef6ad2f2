"""Which ``input_transform`` a head can work with."""

from __future__ import annotations

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
