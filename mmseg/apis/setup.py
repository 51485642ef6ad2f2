"""What training and testing do before they start: config, process group, folders."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from mmseg.config import Config, check_config
from mmseg.config.task import apply_task
from mmseg.utils.distributed import init_dist
from mmseg.utils.errors import UserError
from mmseg.utils.watchdog import TIMEOUT


def prepare_config(path: str, options: dict[str, Any] | None = None) -> Config:
    """Read a config file, apply ``--cfg-options`` and its ``task``, and check its keys.

    Raises:
        UserError: what is wrong, naming the file and the key.
    """
    cfg = Config.fromfile(path)
    if options:
        cfg.merge_from_dict(options)
    check_config(cfg)
    apply_task(cfg)
    for section in ("model", "data"):
        if section not in cfg:
            raise UserError(f"{path}: the config has no `{section}`")
    return cfg


def setup_distributed(launcher: str, cfg: Config, timeout_s: float | None = None) -> bool:
    """Join the process group of ``launcher`` (unless it is ``none``); returns whether there is one.

    Args:
        launcher: As ``init_dist``'s.
        cfg: ``dist_params`` is read.
        timeout_s: Of a collective operation, in seconds, instead of ``dist_params.timeout``, which is
            then how long the others are waited for at the start.
    """
    if launcher == "none":
        return False
    params = dict(cfg.get("dist_params") or {})
    timeout = params.get("timeout")
    joining = None if timeout_s is None else timeout or TIMEOUT
    init_dist(launcher, params.get("backend"), timeout_s=timeout_s or timeout, join_timeout_s=joining)
    return True


def make_work_dir(path: str, option: str = "--work-dir") -> str:
    """Create ``path`` if needed and make sure that files can be written there.

    Args:
        path: A folder.
        option: What gives another one on the command line.

    Raises:
        UserError: they cannot.
    """
    try:
        os.makedirs(path, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write to the folder {path}: {error.strerror or error}; choose another with {option}"
        ) from None
    return path
