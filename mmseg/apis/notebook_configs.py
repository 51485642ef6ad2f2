"""The config that a function for notebooks is given: a path, or a config in memory."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator

from mmseg.config import Config
from mmseg.utils.errors import UserError

ConfigLike = Config | str | os.PathLike


@contextlib.contextmanager
def config_path(config: ConfigLike) -> Iterator[str]:
    """The path of a config file; a config in memory is written to one for the time.

    Raises:
        UserError: the file does not exist, or it is no config.
    """
    if isinstance(config, str | os.PathLike):
        yield os.fspath(config)
        return
    if not isinstance(config, Config):
        raise UserError(f"a config is a path or what Config.fromfile gives, not a {type(config).__name__}")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"{name_of(config)}.py")
        config.dump(path)
        yield path


def name_of(config: ConfigLike) -> str:
    """What a config is called: its file without the ending."""
    path = (config.filename or "config") if isinstance(config, Config) else os.fspath(config)
    return os.path.splitext(os.path.basename(path))[0]


def default_work_dir(config: ConfigLike) -> str:
    """The folder of a config's runs: its ``work_dir``, or ``./work_dirs/CONFIG_NAME``."""
    cfg = config if isinstance(config, Config) else Config.fromfile(os.fspath(config))
    return cfg.get("work_dir") or os.path.join("./work_dirs", name_of(config))


def file_name(name: str) -> str:
    """``name`` as the name of a file.

    Raises:
        UserError: nothing of it can be in one.
    """
    plain = re.sub(r"[^\w.+ -]+", "_", name).strip(". ")
    if not plain.strip("_"):
        raise UserError(f"model_name {name!r} cannot name a file; give it letters or digits")
    return plain
