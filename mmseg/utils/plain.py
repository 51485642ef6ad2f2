"""Turn objects into what ``torch.load(weights_only=True)`` accepts."""

from __future__ import annotations

import datetime
import enum
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from mmseg.utils.errors import UserError

_LEAVES = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    torch.Size,
    torch.dtype,
    torch.device,
)


def to_plain(obj: Any, where: str = "checkpoint") -> Any:
    """Return ``obj`` in built-in types and tensors only, which every PyTorch reads without running code.

    Dictionaries of any kind become ``dict``, numpy scalars Python's, numpy arrays tensors (of text:
    lists), paths, dates and configs text, enumerations their value. Tensors lose their graph; a view of
    a larger storage is copied, or the file would hold all of that.

    Args:
        where: Name of ``obj`` in messages.

    Raises:
        UserError: an object of any other kind.
    """
    if type(obj) in _LEAVES:
        return obj
    if isinstance(obj, torch.Tensor):
        return _plain_tensor(obj)
    if isinstance(obj, Mapping):
        return {to_plain(k, where): to_plain(v, f"{where}.{k}") for k, v in obj.items()}
    if isinstance(obj, enum.Enum):
        return to_plain(obj.value, where)
    if isinstance(obj, list | tuple | set | frozenset):
        items = [to_plain(v, f"{where}.{i}") for i, v in enumerate(obj)]
        return tuple(items) if isinstance(obj, tuple) else items if isinstance(obj, list) else set(items)
    if isinstance(obj, np.ndarray):
        return obj.tolist() if obj.dtype.kind in "US" else _plain_array(obj, where)
    if isinstance(obj, np.generic):
        return to_plain(obj.item(), where)
    for kind in (bool, int, float, complex, str, bytes):  # subclasses of them
        if isinstance(obj, kind):
            return kind(obj)
    if isinstance(obj, os.PathLike):
        return os.fspath(obj)
    if isinstance(obj, datetime.date | datetime.time | datetime.timedelta):
        return str(obj)
    if isinstance(getattr(obj, "pretty_text", None), str):  # a Config
        return obj.pretty_text
    raise UserError(
        f"{where} is a {type(obj).__module__}.{type(obj).__qualname__}, which a checkpoint cannot hold;"
        " keep numbers, text, tensors, lists and dictionaries of them there"
    )


def _plain_tensor(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    if type(tensor) is torch.Tensor and tensor.layout is torch.strided and tensor.device.type != "meta":
        held = tensor.numel() * tensor.element_size()
        if tensor.untyped_storage().nbytes() > held:
            return tensor.clone(memory_format=torch.contiguous_format)
    return tensor


def _plain_array(array: np.ndarray, where: str) -> torch.Tensor:
    if array.dtype.kind not in "biufc":
        raise UserError(
            f"{where} is an array of {array.dtype}, which a checkpoint cannot hold; store numbers"
        )
    return torch.from_numpy(
        np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False)).copy()
    )
