"""Hooks of mmcv 1.x that old configs name in ``custom_hooks``, and what became of them here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmseg.engine.hooks import HOOKS, Hook
from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.logger import get_root_logger

# Sections of the config that do what the hook did.
_SECTIONS = {"EMAHook": "ema", "ProfilerHook": "profiler_config"}
# What every run does anyway, or has no need of.
_NEEDLESS = {
    "NumClassCheckHook": "the number of classes is checked before every run",
    "CheckInvalidLossHook": "a loss that is not finite stops every run",
    "IterTimerHook": "times are always logged",
    "DistSamplerSeedHook": "the order of the images follows from seed and epoch",
    "SyncBuffersHook": "statistics of batch norm are made equal before every evaluation",
    "EmptyCacheHook": "memory is kept for the next iteration",
    "MemoryProfilerHook": "the peak of the memory is always logged",
}


def with_historic_hooks(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return the top level of ``cfg`` with mmcv's hooks in ``custom_hooks`` turned into sections.

    ``EMAHook`` becomes ``ema`` and ``ProfilerHook`` ``profiler_config``; those that nothing needs any more
    are left out with one line in the log; hooks of ``HOOKS`` and objects stay.

    Raises:
        UserError: an unknown hook, or a section that is given twice.
    """
    result = dict(cfg)
    if cfg.get("momentum_config"):
        get_root_logger().warning("momentum_config is not applied: the optimizer keeps its own momentum")
    kept: list[Any] = []
    for i, entry in enumerate(cfg.get("custom_hooks") or []):
        kind = None if isinstance(entry, Hook) else _kind(entry, i)
        if kind is None or not isinstance(kind, str) or kind in HOOKS:
            kept.append(entry)
        elif kind in _SECTIONS:
            name = _SECTIONS[kind]
            if result.get(name):
                raise UserError(
                    f"custom_hooks.{i}: {kind} is the same as `{name}`, which is given too; keep one"
                )
            result[name] = _settings(entry, kind, i)
        elif kind in _NEEDLESS:
            get_root_logger().info(f"custom_hooks.{i}: {kind} is left out: {_NEEDLESS[kind]}")
        else:
            known = [*HOOKS.module_dict, *_SECTIONS, *_NEEDLESS]
            raise UserError(
                f"custom_hooks.{i}: unknown hook `{kind}`{near_matches(kind, known)} (a hook of your own "
                "needs @HOOKS.register_module() and its module in custom_imports)"
            )
    result["custom_hooks"] = kept
    return result


def _kind(entry: Any, i: int) -> Any:
    if not isinstance(entry, Mapping) or "type" not in entry:
        raise UserError(f"custom_hooks.{i} must be a dictionary with `type`, not {entry!r}")
    return entry["type"]


def _settings(entry: Mapping[str, Any], kind: str, i: int) -> dict[str, Any]:
    settings = {k: v for k, v in entry.items() if k not in ("type", "priority")}
    if kind == "EMAHook" and settings.pop("resume_from", None):
        raise UserError(
            f"custom_hooks.{i}: give EMAHook's `resume_from` as the config's resume_from or as "
            "--resume-from; the averages come back with it"
        )
    return settings
