"""The watch over a training run: a rank that stops answering, and one that has lost another."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from mmseg.utils.distributed import get_rank, get_world_size, is_lost_rank
from mmseg.utils.errors import UserError
from mmseg.utils.exit_status import LOST_RANK
from mmseg.utils.watchdog import START_TIMEOUT, TIMEOUT, Watchdog


def timeouts(cfg: Mapping[str, Any]) -> tuple[float, float]:
    """Seconds after which a run that stands still ends: on its way, and at its start.

    Raises:
        UserError: ``dist_params.timeout`` or ``dist_params.start_timeout`` is no positive number.
    """
    params = cfg.get("dist_params") or {}
    values = []
    for key, default in (("timeout", TIMEOUT), ("start_timeout", START_TIMEOUT)):
        value = default if params.get(key) is None else params[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise UserError(f"dist_params.{key} must be a positive number of seconds, not {value!r}")
        values.append(float(value))
    return values[0], max(values)


@contextmanager
def watched(cfg: Mapping[str, Any], work_dir: str) -> Iterator[None]:
    """Watch what runs inside on every rank; heartbeats are in ``work_dir/heartbeats``.

    A rank that loses another ends with one line and status 77.
    """
    timeout, start_timeout = timeouts(cfg)
    token = [secrets.token_hex(8)]
    if get_world_size() > 1:
        torch.distributed.broadcast_object_list(token, src=0)
    folder = os.path.join(work_dir, "heartbeats")
    watchdog = Watchdog(folder, get_rank(), get_world_size(), token[0], timeout, start_timeout).start()
    try:
        yield
    except RuntimeError as error:
        if get_world_size() == 1 or not is_lost_rank(error):
            raise
        reason = str(error).strip().partition("\n")[0][:200]
        print(
            f"error on rank {get_rank()}: another rank has ended, and this one cannot go on without it"
            f" ({reason})",
            file=sys.stderr,
        )
        sys.exit(LOST_RANK)
    finally:
        watchdog.stop()
