"""Sections of a config that are switches: ``True``, ``False``, or a dictionary of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmseg.registry import check_arguments
from mmseg.utils.errors import UserError


def switched_on(cfg: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return the settings of the section ``name``, or None where it is missing, false, or ``enabled=False``.

    Raises:
        UserError: it is neither a dictionary nor true or false.
    """
    section = cfg.get(name)
    if section is None or section is False:
        return None
    if section is True:
        return {}
    if not isinstance(section, Mapping):
        raise UserError(f"{name} is a dictionary, True or False, not {section!r}")
    settings = dict(section)
    return settings if settings.pop("enabled", True) else None


def build_section(cfg: Mapping[str, Any], name: str, kind: Callable[..., Any]) -> Any | None:
    """Call ``kind`` with the settings of the section ``name``; None where it is off.

    Raises:
        UserError: a setting that ``kind`` does not take or refuses.
    """
    settings = switched_on(cfg, name)
    if settings is None:
        return None
    try:
        check_arguments(kind, settings)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    return kind(**settings)
