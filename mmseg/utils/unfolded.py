"""Whether what a file holds stays small: shared parts stand there once, and count each time they are used."""

from __future__ import annotations

from typing import Any

import torch

MAX_PARTS = 20_000_000
MAX_DEPTH = 200
SPARE_BYTES = 2**28


def check_unfolded(value: Any) -> None:
    """Refuse what would never end, or fill the memory, once somebody copies it.

    Lists of lists of the same list, an object that holds itself, and a tensor of one number that is shown a
    billion times (stride 0) all stand in files of a few bytes.

    Args:
        value: Containers, tensors and scalars, as a checkpoint holds them.

    Raises:
        ValueError: it is one of these; the message is half a sentence about the file.
    """
    counter = _Counter()
    counter.visit(value, 0)
    stored = sum(counter.storages.values())
    if counter.shown > 16 * stored + SPARE_BYTES:
        raise ValueError(f"its tensors show {counter.shown:,} bytes, but it stores {stored:,}")


class _Counter:
    def __init__(self) -> None:
        self.done: dict[int, int] = {}  # id of a container: how many parts it unfolds to; 0 while it is open
        self.storages: dict[int, int] = {}
        self.shown = 0

    def visit(self, value: Any, depth: int) -> int:
        if isinstance(value, torch.Tensor):
            return self.tensor(value)
        if not isinstance(value, (dict, list, tuple, set, frozenset)) or not value:
            return 1
        known = self.done.get(id(value))
        if known == 0:
            raise ValueError("it holds an object that holds itself")
        if known is not None:
            return known
        if depth > MAX_DEPTH:
            raise ValueError(f"its objects are nested more than {MAX_DEPTH} deep")
        self.done[id(value)] = 0
        parts = 1
        if isinstance(value, dict):
            parts += sum(self.visit(key, depth + 1) for key in value)
            value_parts = value.values()
        else:
            value_parts = value
        parts += sum(self.visit(part, depth + 1) for part in value_parts)
        if parts > MAX_PARTS:
            raise ValueError(f"its objects unfold to more than {MAX_PARTS:,} parts")
        self.done[id(value)] = parts
        return parts

    def tensor(self, tensor: torch.Tensor) -> int:
        if id(tensor) not in self.done:
            self.done[id(tensor)] = 1
            if tensor.layout is torch.strided and tensor.device.type != "meta":
                storage = tensor.untyped_storage()
                self.storages[storage.data_ptr()] = storage.nbytes()
                self.shown += tensor.numel() * tensor.element_size()
        return 1
