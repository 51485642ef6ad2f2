"""Where the file of a store is, how other processes find it, and how it vanishes with the last of them.

On Linux the file has no name: it lies in memory (``memfd_create``; the size of ``/dev/shm``, 64 MB in many
containers, plays no part) or in a folder, already unlinked. Others open it by way of ``/proc``, and the
system frees it when the last process that has it ends, however that ends. Where there is no ``/proc`` the
file has a name.

The processes of one user meet at a small note in a folder of the user's in the temporary folder, which says
where the file is. Each keeps a shared lock on the note. A note that nobody holds is one of dead processes;
the next start removes it, with the named file where there is one.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import stat
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmseg.datasets.cache.settings import WHERE
from mmseg.datasets.cache.store import Store, make_store

_PROC = "/proc/self/fd"  # there on Linux
_thread_lock = threading.Lock()


def open_place(where: str, name: str, limit: Callable[[], int], entries: int) -> Place:
    """Open the store called ``name``, or make it.

    Args:
        where: 'shared', 'ram' (a new one for this process and its children), or a folder.
        name: The same for all that shall share it.
        limit: Gives the bytes that it may hold; asked only where it is new.
        entries: How many arrays are expected at most.

    Raises:
        OSError: there is no place for it.
    """
    if where == "ram":
        name = f"{name}-{os.getpid()}-{secrets.token_hex(4)}"
    notes = notes_folder()
    with _alone(notes):
        remove_stale(notes)
        return _open_place(notes, where, name, limit, entries)


def _open_place(notes: Path, where: str, name: str, limit: Callable[[], int], entries: int) -> Place:
    note, path = _hold(notes / f"{name}.json")
    try:
        address, token = _read(note)
        store = open_store(address, token) if address else None
        if store is None:
            token = secrets.token_bytes(16)
            file, address = _new_file(notes if where in WHERE else Path(where), name, where in WHERE)
            make_store(file, token, limit(), entries)
            store = Store(file)
            os.truncate(note, 0)
            os.pwrite(note, json.dumps({"address": address, "token": token.hex()}).encode(), 0)
    except BaseException:
        _leave(note, path, "", os.getpid())
        raise
    return Place(store, address, note, path)


class Place:
    """An open store; gone for good when nobody has it any more.

    Attributes:
        store: The store.
        address: The path by which another process opens it.
    """

    def __init__(self, store: Store, address: str, note: int, path: Path) -> None:
        self.store, self.address = store, address
        self.close = weakref.finalize(self, _leave, note, path, address, os.getpid())


def open_store(address: str, token: bytes) -> Store | None:
    """Open the store at ``address``; None where it is not there (any more) or is another one."""
    try:
        store = Store(io.FileIO(address, "r+"))
    except (OSError, ValueError):
        return None
    return store if store.token == token else None


def notes_folder() -> Path:
    """The folder of this user's notes, in the temporary folder.

    Raises:
        OSError: it cannot be made, or is not the user's alone.
    """
    folder = Path(tempfile.gettempdir(), f"mmseg-cache-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(1, f"{folder} can be written by others")
    return folder


def remove_stale(folder: Path) -> None:
    """Remove what processes that are dead have left in ``folder``."""
    for path in folder.glob("*.json"):
        with suppress(OSError):
            note = os.open(path, os.O_RDWR)
            try:
                if _lock(note, exclusive=True, wait=False):
                    _remove(path, _read(note)[0])
            finally:
                os.close(note)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process makes or looks for a store meanwhile. Children do not inherit this lock."""
    import fcntl

    with _thread_lock, open(folder / "lock", "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def _hold(path: Path) -> tuple[int, Path]:
    """Open the note ``path`` with a shared lock, which lasts as long as it is open here or in a child."""
    while True:
        note = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        _lock(note, exclusive=False)
        try:
            if os.path.samestat(os.fstat(note), os.stat(path)):
                return note, path
        except FileNotFoundError:
            pass
        os.close(note)  # somebody took it for a stale one, just before


def _lock(note: int, exclusive: bool, wait: bool = True) -> bool:
    import fcntl

    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(note, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(note: int) -> tuple[str, bytes]:
    """Address and token; empty where there are none."""
    try:
        content = json.loads(os.pread(note, 4096, 0))
        return str(content["address"]), bytes.fromhex(content["token"])
    except (ValueError, KeyError, TypeError):
        return "", b""


def _leave(note: int, path: Path, address: str, owner: int) -> None:
    if os.getpid() == owner:  # a child that was forked has only a copy
        with suppress(OSError):
            if _lock(note, exclusive=True, wait=False):  # the last one
                _remove(path, address)
    with suppress(OSError):
        os.close(note)


def _remove(path: Path, address: str) -> None:
    if address.endswith(".store"):  # a file with a name
        with suppress(OSError):
            os.unlink(address)
    path.unlink(missing_ok=True)


def _new_file(folder: Path, name: str, in_memory: bool) -> tuple[io.FileIO, str]:
    """An empty file and the path by which others open it."""
    nameless = os.path.isdir(_PROC)
    if in_memory and nameless and hasattr(os, "memfd_create"):
        file = io.FileIO(os.memfd_create("mmseg-cache"), "r+")
        return file, address_of(file)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"mmseg-cache-{name}-{secrets.token_hex(4)}.store"
    file = io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "r+")
    if not nameless:
        return file, str(path)
    path.unlink()
    return file, address_of(file)


def address_of(file: io.FileIO, address: str = "/proc/") -> str:
    """The path by which another process opens a file of this one, which was opened at ``address``."""
    return f"/proc/{os.getpid()}/fd/{file.fileno()}" if address.startswith("/proc/") else address
