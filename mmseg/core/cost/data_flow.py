"""Which steps of a run its outputs depend on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor


class DataFlow:
    """The steps of a run, numbered from 0, and what each of them reads.

    A tensor is known by its memory: a step that writes into an input, or returns a view of it, counts as a
    reader and as a writer of the whole of it. No tensor is kept alive.
    """

    def __init__(self) -> None:
        self._sources: list[set[int]] = []
        self._last_writer: dict[int, int] = {}

    def add_step(self, inputs: Iterable[Any], outputs: Iterable[Any]) -> None:
        """Record the next step; what is not a tensor is passed over."""
        read = {self._last_writer.get(_memory(x)) for x in inputs if isinstance(x, Tensor)}
        self._sources.append(read - {None})
        # A freed memory's number may come back, but only as the output of a step, which enters it anew.
        written = {_memory(x) for x in outputs if isinstance(x, Tensor)}
        self._last_writer |= dict.fromkeys(written, len(self._sources) - 1)

    def steps_behind(self, outputs: Iterable[Any]) -> set[int] | None:
        """The steps that the tensors among ``outputs`` depend on; None if there is no tensor."""
        ends = [_memory(x) for x in outputs if isinstance(x, Tensor)]
        if not ends:
            return None
        behind: set[int] = set()
        waiting = [self._last_writer[memory] for memory in ends if memory in self._last_writer]
        while waiting:
            step = waiting.pop()
            if step not in behind:
                behind.add(step)
                waiting += self._sources[step]
        return behind


def _memory(tensor: Tensor) -> int:
    """A number of the memory that the tensor and its views share; 0 for one without memory of its own."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):
        return 0
