"""Hashes of what a score follows from: weights, config values, files. All are SHA-256, written in hex."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

# Of the hash of a single tensor or file this many hex digits are kept: 128 bits.
SHORT = 32
_READERS = 8
MISSING = "missing"


def hash_tensor(tensor: Tensor) -> str:
    """Hash of type, shape and values; where the tensor lies and how it is laid out play no part."""
    plain = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{plain.dtype} {tuple(plain.shape)}\n".encode())
    digest.update(plain.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:SHORT]


def hash_tensors(state_dict: Mapping[str, Tensor]) -> dict[str, str]:
    """Hash of each tensor by name, sorted by name: of the same weights in any container the same."""
    with ThreadPoolExecutor(_READERS) as pool:  # hashing leaves other threads alone
        names = sorted(state_dict)
        return dict(zip(names, pool.map(lambda name: hash_tensor(state_dict[name]), names), strict=True))


def hash_file(path: str) -> str:
    """Hash of the bytes of a file; ``missing`` where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:SHORT]
    except OSError:
        return MISSING


def hash_files(paths: Iterable[str]) -> list[str]:
    """Hashes of files, read by several threads at once."""
    with ThreadPoolExecutor(min(_READERS, 2 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(hash_file, paths))


def hash_json(value: Any) -> str:
    """Hash of what JSON can hold; the order of the keys of a dictionary plays no part."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def flat_values(value: Any, path: str = "") -> dict[str, str]:
    """Write a nested config as one text per value: ``{"model.backbone.depth": "18"}``.

    Lists of plain values stay whole (``"[58.4, 57.1, 57.4]"``); a list and a tuple differ.
    """
    at = f"{path}." if path else ""
    if isinstance(value, Mapping) and value:
        parts = [flat_values(item, f"{at}{key}") for key, item in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes) and _is_nested(value):
        parts = [flat_values(item, f"{at}{i}") for i, item in enumerate(value)]
        if isinstance(value, tuple):
            parts.append({path: "a tuple"})
    else:
        # A function is shown with its address, which is another one in each process.
        return {path: re.sub(r" at 0x[0-9a-f]+", "", repr(value))}
    return {key: text for part in parts for key, text in part.items()}


def _is_nested(values: Sequence[Any]) -> bool:
    return any(isinstance(item, Mapping) for item in values) or any(
        isinstance(item, Sequence) and not isinstance(item, str | bytes) and _is_nested(item)
        for item in values
    )
