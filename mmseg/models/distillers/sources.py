"""Which models a distiller's config speaks of: by a config file, or written out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmseg.config import Config
from mmseg.config.task import apply_task
from mmseg.registry import check_arguments
from mmseg.utils.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[3]


def find(path: str) -> str:
    """``path`` from the working folder or, if there is no such file, from the folder above ``mmseg``."""
    path = os.path.expanduser(path)
    here = REPOSITORY / path
    return str(here) if not os.path.exists(path) and here.exists() else path


def student_settings(section: Any) -> dict[str, Any]:
    """The ``model`` section of ``student``: a path, ``dict(cfg=...)``, or the section itself.

    Raises:
        UserError: it is none of these, or the file cannot be read.
    """
    if isinstance(section, Mapping) and "type" not in section:
        check_arguments(student, dict(section))
        section = section["cfg"]
    return _settings(section, "student")


def teacher_settings(section: Any) -> tuple[dict[str, Any], str]:
    """The ``model`` section and the checkpoint of ``teacher``: ``dict(cfg=..., checkpoint=...)``.

    Raises:
        UserError: as :func:`student_settings`, or there is no checkpoint.
    """
    if not isinstance(section, Mapping) or "type" in section:
        raise UserError("model.teacher is a dict(cfg=..., checkpoint=...); the teacher needs its weights")
    check_arguments(teacher, dict(section))
    checkpoint = section["checkpoint"]
    if not isinstance(checkpoint, str | os.PathLike):
        raise UserError(f"model.teacher.checkpoint is the path of the teacher's weights, not {checkpoint!r}")
    return _settings(section["cfg"], "teacher"), find(os.fspath(checkpoint))


def student(cfg: Any) -> None:
    """The keys of ``student``, for ``check_arguments``."""


def teacher(cfg: Any, checkpoint: Any) -> None:
    """The keys of ``teacher``, for ``check_arguments``."""


def _settings(source: Any, role: str) -> dict[str, Any]:
    if isinstance(source, str | os.PathLike):
        config = Config.fromfile(find(os.fspath(source)))
        apply_task(config)
        if not isinstance(config.get("model"), Mapping):
            raise UserError(f"model.{role}.cfg: {config.filename} has no `model`; give a whole config")
        settings = dict(config.model.to_dict())
        for name in ("train_cfg", "test_cfg"):  # old files keep them outside
            if settings.get(name) is None and config.get(name) is not None:
                settings[name] = config[name]
        return settings
    if isinstance(source, Mapping) and "type" in source:
        return dict(source)
    raise UserError(
        f"model.{role}.cfg is the path of a config, or a model section with `type`, not {source!r}"
    )
