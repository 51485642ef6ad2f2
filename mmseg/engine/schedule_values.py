"""Whether the values of an ``lr_config`` are such that a learning rate can be computed from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from mmseg.utils.errors import UserError


def is_number(value: Any) -> bool:
    """Whether ``value`` is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_rate(value: Any) -> bool:
    return is_number(value) and value >= 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_list(value: Any, each: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and all(map(each, value))


def _above_zero(value: Any) -> bool:
    return is_number(value) and value > 0


def _is_step(value: Any) -> bool:
    return _is_count(value) or _is_list(value, _is_rate)


def _is_ratio(value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else (value,)
    return len(values) in (1, 2) and _is_list(values, _is_rate)


_RATE = _is_rate, "a number of at least 0"
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "step": (_is_step, "a period (a whole number above 0) or a list of positions (at least 0)"),
    "periods": (lambda v: v and _is_list(v, _is_count), "a list of whole numbers above 0"),
    "restart_weights": (lambda v: _is_list(v, _is_rate), "a list of numbers of at least 0"),
    "target_ratio": (_is_ratio, "one or two numbers of at least 0"),
    "total_steps": (_is_count, "a whole number above 0"),
    "div_factor": (_above_zero, "a number above 0"),
    "final_div_factor": (_above_zero, "a number above 0"),
    "start_percent": (is_number, "a number"),
    **dict.fromkeys(("gamma", "power", "min_lr", "min_lr_ratio", "pct_start", "step_ratio_up"), _RATE),
}


def check_values(arguments: Mapping[str, Any], optional: Mapping[str, bool]) -> None:
    """Refuse values of another kind, and those that would divide by nothing or lead below 0.

    Args:
        arguments: Of a policy, as ``lr_config`` gives them.
        optional: Whether each may be None.

    Raises:
        UserError: a value is none that the policy can use.
    """
    for key, value in arguments.items():
        fits, words = _RULES.get(key, (None, ""))
        if fits is None or (value is None and optional[key]):
            continue
        if not fits(value):
            raise UserError(f"lr_config.{key} is {words}, not {value!r}")
