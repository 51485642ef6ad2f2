"""Batches on the device, one ahead of the step that uses them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch


def to_device(batch: Any, device: torch.device, channels_last: bool = False) -> Any:
    """Return ``batch`` with every tensor in it (in dictionaries, lists, tuples) on ``device``.

    Copies from pinned memory are asynchronous. With ``channels_last`` images (N, C, H, W) are laid out so.
    """
    if isinstance(batch, torch.Tensor):
        is_image = channels_last and batch.ndim == 4 and batch.is_floating_point()
        layout = torch.channels_last if is_image else torch.preserve_format
        return batch.to(device, non_blocking=True, memory_format=layout)
    if isinstance(batch, dict):
        return {k: to_device(v, device, channels_last) for k, v in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(to_device(v, device, channels_last) for v in batch)
    return batch


def device_batches(loader: Iterable[Any], device: torch.device, channels_last: bool = False) -> Iterator[Any]:
    """Yield the batches of ``loader`` on ``device``; on CUDA the next copy runs during the present step."""
    if device.type != "cuda":
        for batch in loader:
            yield to_device(batch, device, channels_last)
        return
    stream = torch.cuda.Stream(device)
    ready: Any = None
    for batch in loader:
        with torch.cuda.stream(stream):
            copied = to_device(batch, device, channels_last)
        if ready is not None:
            yield ready
        torch.cuda.current_stream(device).wait_stream(stream)
        _record(copied, torch.cuda.current_stream(device))
        ready = copied
    if ready is not None:
        yield ready


def _record(batch: Any, stream: torch.cuda.Stream) -> None:
    """Tell the allocator that ``stream`` uses the copied tensors, so that they are not reused too early."""
    if isinstance(batch, torch.Tensor):
        batch.record_stream(stream)
    elif isinstance(batch, dict):
        for value in batch.values():
            _record(value, stream)
    elif isinstance(batch, (list, tuple)):
        for value in batch:
            _record(value, stream)
