"""The list of a data set's samples, packed: a million names in some ten megabytes that stay shared.

A Python list of dictionaries costs some 500 bytes a sample, and each worker gets its own copy of it little
by little: looking at an object changes its reference count, which makes the kernel copy the page. Here the
names stand in one ``bytes`` object with an array of offsets; the dictionaries are made when asked for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, MutableSequence, Sequence
from typing import Any

import numpy as np

ImgInfo = dict[str, Any]  # filename and, where there are masks, ann=dict(seg_map=...)
_CODE = ("utf-8", "surrogateescape")  # as Python reads file names: any bytes come back as they were


class Names(Sequence):
    """Strings packed into one buffer, all with the same ``suffix``.

    Args:
        names: The strings, without the suffix.
        suffix: Stands behind each of them.
    """

    def __init__(self, names: Iterable[str], suffix: str = "") -> None:
        names = list(names)
        text = "".join(names)
        if text.isascii():
            lengths = np.fromiter(map(len, names), np.int64, len(names))
            self.buffer = text.encode("ascii")
        else:
            encoded = [name.encode(*_CODE) for name in names]
            lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
            self.buffer = b"".join(encoded)
        self.offsets = np.zeros(len(names) + 1, np.int64)
        np.cumsum(lengths, out=self.offsets[1:])
        if len(self.buffer) < 2**32:
            self.offsets = self.offsets.astype(np.uint32)
        self.suffix = suffix

    def with_suffix(self, suffix: str) -> Names:
        """The same strings with another end; nothing is copied."""
        other = object.__new__(Names)
        other.buffer, other.offsets, other.suffix = self.buffer, self.offsets, suffix
        return other

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:  # type: ignore[override]
        return self.buffer[self.offsets[index] : self.offsets[index + 1]].decode(*_CODE) + self.suffix


class ImgInfos(MutableSequence):
    """A list of ``dict(filename=..., ann=dict(seg_map=...))``, made of packed names.

    It behaves as a list does. The first change to it (or to a dictionary taken from it) turns it into a plain
    list inside, with a plain list's memory. A slice is a packed list of its own.

    Args:
        filenames: Names of the images.
        seg_maps: Names of their masks; None for samples without.
        rows: Which of the names, in which order; None means all.
    """

    def __init__(self, filenames: Names, seg_maps: Names | None, rows: np.ndarray | None = None) -> None:
        assert seg_maps is None or len(seg_maps) == len(filenames)
        self._filenames, self._seg_maps, self._rows = filenames, seg_maps, rows
        self._list: list[ImgInfo] | None = None  # once somebody has changed something

    @classmethod
    def from_stems(cls, stems: Iterable[str], img_suffix: str, seg_map_suffix: str | None) -> ImgInfos:
        """Images and masks that differ in their suffixes only; no masks where theirs is None."""
        names = Names(stems, img_suffix)
        return cls(names, None if seg_map_suffix is None else names.with_suffix(seg_map_suffix))

    @property
    def filenames(self) -> Iterator[str]:
        """The images' names, without a dictionary for each."""
        return self._column(self._filenames, operator.itemgetter("filename"))

    @property
    def seg_maps(self) -> Iterator[str]:
        """The masks' names, without a dictionary for each."""
        return self._column(self._seg_maps, lambda info: info["ann"]["seg_map"])

    def _column(self, names: Names | None, of: Callable[[ImgInfo], str]) -> Iterator[str]:
        if self._list is not None:
            return map(of, self._list)
        assert names is not None
        return iter(names) if self._rows is None else (names[row] for row in self._rows)

    def __len__(self) -> int:
        if self._list is not None:
            return len(self._list)
        return len(self._filenames if self._rows is None else self._rows)

    def __getitem__(self, index: Any) -> Any:
        if self._list is not None:
            return self._list[index]
        if isinstance(index, slice):
            rows = np.arange(*index.indices(len(self))) if self._rows is None else self._rows[index]
            return ImgInfos(self._filenames, self._seg_maps, rows)
        number = operator.index(index)
        if number < 0:
            number += len(self)
        if not 0 <= number < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        row = number if self._rows is None else int(self._rows[number])
        info = _Info({"filename": self._filenames[row]}, lambda entry: self._adopt(number, entry))
        if self._seg_maps is not None:
            ann = _Info({"seg_map": self._seg_maps[row]}, lambda entry: self._adopt(number, entry, "ann"))
            dict.__setitem__(info, "ann", ann)
        return info

    def __iter__(self) -> Iterator[ImgInfo]:
        at = 0
        while at < len(self):  # as a list does, also where it changes on the way
            yield self[at]
            at += 1

    def __setitem__(self, index: Any, value: Any) -> None:
        self._plain()[index] = value

    def __delitem__(self, index: Any) -> None:
        del self._plain()[index]

    def insert(self, index: int, value: ImgInfo) -> None:
        """Put ``value`` before the sample ``index``."""
        self._plain().insert(index, value)

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        """Sort in place."""
        self._plain().sort(key=key, reverse=reverse)

    def copy(self) -> ImgInfos:
        """A list of its own."""
        return self[:] if self._list is None else _from_list(self._list)

    def __add__(self, other: Any) -> list[ImgInfo]:
        return list(self) + list(other)

    def __radd__(self, other: Any) -> list[ImgInfo]:
        return list(other) + list(self)

    def __mul__(self, times: int) -> list[ImgInfo]:
        return list(self) * times

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list | ImgInfos):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        more = ", ..." if len(self) > 3 else ""
        return f"[{', '.join(map(repr, self[:3]._plain_copy()))}{more}] ({len(self)} samples)"

    def _plain_copy(self) -> list[ImgInfo]:
        return [_as_dict(info) for info in self]

    def _plain(self) -> list[ImgInfo]:
        """Become a plain list."""
        if self._list is None:
            self._list = self._plain_copy()
        return self._list

    def _adopt(self, index: int, entry: ImgInfo, key: str | None = None) -> None:
        """Take a dictionary that was handed out, and is about to change, as the sample's own."""
        plain = self._plain()
        if index >= len(plain):
            return
        if key is None:
            if plain[index] == entry:
                plain[index] = entry
        elif plain[index].get(key) == entry:
            plain[index][key] = entry


def _from_list(infos: list[ImgInfo]) -> ImgInfos:
    copy = ImgInfos(Names([]), None)
    copy._list = list(infos)
    return copy


def _as_dict(info: ImgInfo) -> ImgInfo:
    return {key: dict(value) if isinstance(value, dict) else value for key, value in info.items()}


class _Info(dict):
    """A dictionary that calls ``before_change`` once, before its first change; a copy is a plain one."""

    __slots__ = ("_before_change",)

    def __init__(self, items: ImgInfo, before_change: Callable[[_Info], None]) -> None:
        super().__init__(items)
        self._before_change: Callable[[_Info], None] | None = before_change

    def __reduce__(self) -> Any:
        return dict, (dict(self),)

    def copy(self) -> ImgInfo:
        return dict(self)


def _changing(name: str) -> Callable[..., Any]:
    method = getattr(dict, name)

    def changing(self: _Info, *args: Any, **kwargs: Any) -> Any:
        before, self._before_change = self._before_change, None
        if before is not None:
            before(self)
        return method(self, *args, **kwargs)

    changing.__name__ = name
    return changing


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(_Info, _name, _changing(_name))


class Joined(Sequence):
    """Several sequences one after another, ``times`` times over; a view, nothing is copied."""

    def __init__(self, parts: Sequence[Sequence[Any]], times: int = 1) -> None:
        self.parts, self.times = parts, times

    def __len__(self) -> int:
        return self.times * sum(map(len, self.parts))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = operator.index(index)
        if number < 0:
            number += len(self)
        if not 0 <= number < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        number %= len(self) // self.times
        for part in self.parts:
            if number < len(part):
                return part[number]
            number -= len(part)
        raise AssertionError("the lengths changed meanwhile")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list | Joined):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} samples)"
