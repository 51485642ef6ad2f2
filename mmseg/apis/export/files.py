"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from mmseg.utils.errors import UserError


@contextlib.contextmanager
def replaced_when_done(path: str) -> Iterator[tuple[str, Callable[[str], None]]]:
    """Give a temporary file beside ``path``, which takes this name when the block ends without an error.

    Yields:
        The temporary path, and a function that chooses another name in the same folder.

    Raises:
        UserError: the file cannot be written.
    """
    if os.path.isdir(path):
        raise UserError(f"cannot write {path}: it is a folder; give a file in it")
    folder, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    temporary = os.path.join(folder, f".{stem}.{os.getpid()}{suffix}")
    names = [path]
    try:
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(temporary, "wb"):
            pass
        yield temporary, names.append
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, names[-1])
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; give another file") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
