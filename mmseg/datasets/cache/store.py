"""Arrays in one file that several processes have mapped: who adds one, adds it for all.

The file holds a header, a hash table and the arrays, one behind the other. Readers take no lock. Writers
reserve room and commit under a lock of the file, and write in between; one that is killed meanwhile leaves an
entry that nobody reads. Arrays are written with ``pwrite``, because a store into a mapping of a full file
system kills the process.
"""

from __future__ import annotations

import io
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import numpy as np

_MAGIC = b"mmsegca1"
_HEADER = struct.Struct("<8s16sQQQ")  # magic, token, slots, start of the arrays, end of the file
_COUNTS = struct.Struct("<QQQQ")  # end of what is used, entries, images, state
_COUNTS_AT = 64
_TABLE = 4096
_SLOT = struct.Struct("<16sQQ8s4IB3x")  # key, offset, bytes, dtype, shape, dimensions; then a check sum
_SLOT_SIZE = 64
_ALIGN = 64
_EMPTY = bytes(16)
OPEN, FULL, NO_SPACE = range(3)

_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)  # another thread may have held it


class Store:
    """Arrays by key, in a file.

    Args:
        file: Made by ``make_store``, open for reading and writing. Whoever holds an array keeps its memory.

    Raises:
        OSError: it cannot be mapped.
        ValueError: it is no store.
    """

    def __init__(self, file: io.FileIO) -> None:
        self.file = file
        header = os.pread(file.fileno(), _HEADER.size, 0)
        if len(header) < _HEADER.size or header[:8] != _MAGIC:
            raise ValueError("no store")
        _, self.token, self.slots, self.start, self.end = _HEADER.unpack(header)
        self._table = mmap.mmap(file.fileno(), self.start)
        self._arrays = mmap.mmap(file.fileno(), self.end, access=mmap.ACCESS_READ)

    def find(self, key: bytes) -> np.ndarray | None:
        """Return the array of ``key`` (16 bytes), read-only and not copied; None where there is none."""
        table, at = self._table, self._first(key)
        while True:
            slot = table[at : at + _SLOT_SIZE]
            if slot[:16] == key:
                break
            if slot[:16] == _EMPTY:
                return None
            at = self._next(at)
        if crc32(slot[:-4]) != int.from_bytes(slot[-4:], "little"):
            return None  # somebody is writing it
        _, offset, _, dtype, *shape, ndim = _SLOT.unpack_from(slot)
        return np.ndarray(shape[:ndim], dtype.rstrip(b"\0").decode(), self._arrays, offset)

    def add(self, key: bytes, array: np.ndarray, image: bool = True) -> bool:
        """Keep a copy of ``array`` where there is room; ``image`` counts it. Return whether it was kept."""
        dtype = array.dtype.str.encode()
        if (
            self.state != OPEN
            or array.dtype.hasobject
            or len(dtype) > 8
            or not array.size
            or not 0 < array.ndim <= 4
        ):
            return False
        array = np.ascontiguousarray(array)
        with self._locked():
            at = self._first(key)
            while (other := self._table[at : at + 16]) != _EMPTY:
                if other == key:  # another process was faster, or writes it just now
                    return False
                at = self._next(at)
            offset, entries, images, state = self._counts()
            behind = -(-(offset + array.nbytes) // _ALIGN) * _ALIGN
            if behind > self.end or entries * 4 >= self.slots * 3:
                self._set_counts(offset, entries, images, FULL)
                return False
            self._table[at : at + _SLOT_SIZE] = key + bytes(_SLOT_SIZE - 16)
            self._set_counts(behind, entries + 1, images, state)
        try:
            self._write(memoryview(array).cast("B"), offset)
        except OSError:  # the file system is full
            with self._locked():
                used, entries, images, _ = self._counts()
                self._set_counts(used, entries, images, NO_SPACE)
            return False
        shape = (*array.shape, 0, 0, 0)[:4]
        slot = _SLOT.pack(key, offset, array.nbytes, dtype, *shape, array.ndim)
        with self._locked():
            self._table[at : at + _SLOT_SIZE] = slot + crc32(slot).to_bytes(4, "little")
            used, entries, images, state = self._counts()
            self._set_counts(used, entries, images + image, state)
        return True

    @property
    def state(self) -> int:
        """OPEN, FULL (the limit is reached) or NO_SPACE (the file system is full)."""
        return self._counts()[3]

    @property
    def images(self) -> int:
        """Images in it."""
        return self._counts()[2]

    @property
    def used(self) -> int:
        """Bytes of the arrays in it."""
        return self._counts()[0] - self.start

    def _first(self, key: bytes) -> int:
        return _TABLE + int.from_bytes(key[:8], "little") % self.slots * _SLOT_SIZE

    def _next(self, at: int) -> int:
        return at + _SLOT_SIZE if at + _SLOT_SIZE < self.start else _TABLE

    def _counts(self) -> tuple[int, ...]:
        return _COUNTS.unpack_from(self._table, _COUNTS_AT)

    def _set_counts(self, *counts: int) -> None:
        _COUNTS.pack_into(self._table, _COUNTS_AT, *counts)

    def _write(self, data: memoryview, offset: int) -> None:
        while data:
            written = os.pwrite(self.file.fileno(), data, offset)
            data, offset = data[written:], offset + written

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among processes and threads; the system frees the lock of a process that dies."""
        import fcntl

        with _lock:
            fcntl.lockf(self.file.fileno(), fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self.file.fileno(), fcntl.LOCK_UN)


def make_store(file: io.FileIO, token: bytes, limit: int, entries: int) -> None:
    """Turn an empty file into a store; its blocks are taken only as arrays come.

    Args:
        file: Open for reading and writing.
        token: 16 bytes by which others recognise it.
        limit: Bytes of all arrays.
        entries: How many arrays are expected at most.
    """
    slots = max(64, min(2 * entries, limit // 512))
    start = -(-(_TABLE + slots * _SLOT_SIZE) // mmap.PAGESIZE) * mmap.PAGESIZE
    slots = (start - _TABLE) // _SLOT_SIZE
    end = start + max(limit, mmap.PAGESIZE)
    os.ftruncate(file.fileno(), end)
    os.pwrite(file.fileno(), _COUNTS.pack(start, 0, 0, OPEN), _COUNTS_AT)
    os.pwrite(file.fileno(), _HEADER.pack(_MAGIC, token, slots, start, end), 0)
