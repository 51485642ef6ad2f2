"""A model on several devices, each with the whole of it (DDP)."""

from __future__ import annotations

import inspect

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

# Running statistics stay each rank's own during training; newer versions of torch have a new name for that.
_KNOWS_NEW_NAME = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
_NO_BUFFER_SYNC = {"forward_sync_buffers" if _KNOWS_NEW_NAME else "broadcast_buffers": False}


def data_parallel(model: nn.Module, device: torch.device, find_unused_parameters: bool = False) -> nn.Module:
    """Return ``model`` wrapped for a training on all ranks; itself where there is no process group.

    Args:
        model: On ``device``, with all of its weights.
        device: Of this rank.
        find_unused_parameters: Some parameters have no part in some losses.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return model
    return DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == "cuda" else None,
        **_NO_BUFFER_SYNC,
        find_unused_parameters=find_unused_parameters,
        gradient_as_bucket_view=True,
    )
