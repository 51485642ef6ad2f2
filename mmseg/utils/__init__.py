"""Files, processes, devices, seeds and errors: what every other part rests on.

The names below are loaded when they are first used, so that importing this package stays light.
"""

from __future__ import annotations

from typing import Any

_HOMES = {
    "collect_env": "mmseg.utils.env",
    "find_latest_checkpoint": "mmseg.utils.checkpoint",
    "get_device": "mmseg.utils.distributed",
    "get_root_logger": "mmseg.utils.logger",
}

__all__ = ["collect_env", "find_latest_checkpoint", "get_device", "get_root_logger"]  # noqa: F822


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
