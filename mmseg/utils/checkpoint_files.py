"""Checkpoint files in a work dir: written whole or not at all, counted, pruned and found again."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

import torch

from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from mmseg.utils.plain import to_plain
from mmseg.utils.torch_file import read_torch_file

_TEMPORARY = re.compile(r"\..+\.(?:(?P<host>[\w-]+)\.)?(?P<pid>\d+)\.tmp")
_HOST = re.sub(r"[^\w-]", "-", socket.gethostname()) or "host"
_STARTED = time.time()
_HOURS_OF_A_DEAD_ONE = 2  # a file that is being written changes all the time


def save_checkpoint(checkpoint: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write ``checkpoint`` to ``path`` so that the file there is always whole: the former or the new one.

    It goes to a hidden temporary file in the same folder, to the disk, and then takes the name.

    Args:
        checkpoint: :func:`~mmseg.utils.plain.to_plain` is applied to it.
        path: Its folder is made if need be.

    Raises:
        UserError: the disk is full, the folder cannot be written, or an object cannot be stored; the file
            that ``path`` named before is unchanged.
    """
    plain = to_plain(checkpoint)
    _replace(os.fspath(path), lambda temporary: _write(plain, temporary))


def point_latest(path: str | os.PathLike[str]) -> str:
    """Make ``latest.pth`` beside ``path`` name the same file, at once; return its path.

    It is a hard link (a copy where the disk has none), so that deleting ``path`` leaves it whole.

    Raises:
        UserError: the folder cannot be written.
    """
    path = os.fspath(path)
    latest = os.path.join(os.path.dirname(path), "latest" + os.path.splitext(path)[1])
    if os.path.basename(path) != os.path.basename(latest):
        _replace(latest, lambda temporary: _link(path, temporary))
    return latest


def prune_checkpoints(
    work_dir: str | os.PathLike[str], prefix: str, max_keep: int, upto: int | None = None
) -> list[str]:
    """Delete all but the newest ``max_keep`` files ``{prefix}{number}.pth`` of ``work_dir``.

    Args:
        prefix: ``iter_`` or ``epoch_``.
        max_keep: Zero and below keep everything.
        upto: Only count and delete files up to this number: those beyond it are of an older, longer run
            in the same folder. Without it the age of the files decides, and the numbers among equals.

    Returns:
        The deleted paths. A file that cannot be deleted is reported in the log.
    """
    found = _numbered(os.fspath(work_dir), prefix, "pth")
    if upto is None:
        found.sort(key=lambda item: (_age(item[1]), item[0]))
    else:
        found = sorted(item for item in found if item[0] <= upto)
    deleted = []
    for _, path in found[:-max_keep] if max_keep > 0 else []:
        try:
            os.unlink(path)
            deleted.append(path)
        except OSError as error:
            get_root_logger().warning(f"cannot delete the old checkpoint {path}: {error.strerror or error}")
    return deleted


def find_latest_checkpoint(work_dir: str | os.PathLike[str], suffix: str = "pth") -> str | None:
    """Return the newest whole checkpoint of ``work_dir``, or None.

    That is ``latest.pth``, unless it is broken or missing, or a file ``iter_N`` or ``epoch_N`` is both
    newer and further (a run that was killed between writing the two). Where none of them is whole, the
    newest whole ``best_*`` is taken. Broken files are named in the log. Every byte of the result is checked
    against its checksum.
    """
    work_dir = os.fspath(work_dir)
    latest = os.path.join(work_dir, f"latest.{suffix}")
    found = []  # (iteration, is latest, path)
    since = None
    if os.path.lexists(latest):
        iteration = _iteration_if_whole(latest)
        if iteration is not None:
            found.append((iteration, True, latest))
            since = _age(latest)
    for prefix in ("iter_", "epoch_"):
        for number, path in sorted(_numbered(work_dir, prefix, suffix), reverse=True):
            if since is not None and _age(path) <= since:
                continue
            iteration = _iteration_if_whole(path)
            if iteration is not None:
                found.append((iteration or (number if prefix == "iter_" else 0), False, path))
                break
    if found:
        return max(found)[2]
    for path in sorted(_best(work_dir, suffix), key=_age, reverse=True):
        if _iteration_if_whole(path) is not None:
            return path
    return None


def checkpoints_in(work_dir: str | os.PathLike[str], suffix: str = "pth") -> list[str]:
    """Return the names of all files in ``work_dir`` that a run could go on from, whole or not."""
    work_dir = os.fspath(work_dir)
    paths = [path for prefix in ("iter_", "epoch_") for _, path in _numbered(work_dir, prefix, suffix)]
    names = sorted(os.path.basename(path) for path in [*paths, *_best(work_dir, suffix)])
    latest = f"latest.{suffix}"
    return [latest, *names] if os.path.lexists(os.path.join(work_dir, latest)) else names


# Writing -----------------------------------------------------------------------------------------


class _Writer:
    """Passes on to ``file`` and remembers why writing failed: torch.save reports something else then."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def _write(plain: Any, path: str) -> None:
    with open(path, "wb") as file:
        writer = _Writer(file)
        try:
            torch.save(plain, writer)
        except RuntimeError:
            if writer.error is not None:
                raise writer.error from None
            raise
        file.flush()
        os.fsync(file.fileno())


def _link(path: str, temporary: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        os.link(path, temporary)
    except OSError:  # FAT, some network disks
        shutil.copyfile(path, temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())


def _replace(path: str, write: Callable[[str], None]) -> None:
    """Let ``write`` make a temporary file and give it the name ``path``, or leave everything as it was."""
    folder, name = os.path.split(path)
    folder = folder or os.curdir
    temporary = os.path.join(folder, f".{name}.{_HOST}.{os.getpid()}.tmp")
    try:
        os.makedirs(folder, exist_ok=True)
        remove_stale(folder)
        write(temporary)
        os.replace(temporary, path)
        _sync_folder(folder)
    except OSError as error:
        raise UserError(
            f"cannot write the checkpoint {path}: {error.strerror or error}; {_remedy(error)}"
        ) from error
    finally:
        # Also after a success: renaming one hard link of a file to another leaves both in place.
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "free some space, lower checkpoint_config.max_keep_ckpts or give another --work-dir"
    return "give a --work-dir that can be written"


def remove_stale(folder: str | os.PathLike[str]) -> list[str]:
    """Delete the temporary files of processes that were killed while they wrote; return their paths.

    Those are files of this machine's processes that are gone, or that had this one's number before it began
    (in a container the numbers repeat), and files that did not change for two hours.
    """
    removed = []
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            match = _TEMPORARY.fullmatch(name)
            path = os.path.join(folder, name)
            if match is not None and _is_stale(path, match["host"], int(match["pid"])):
                with contextlib.suppress(OSError):
                    os.unlink(path)
                    removed.append(path)
    return removed


def _is_stale(path: str, host: str | None, pid: int) -> bool:
    try:
        changed = os.lstat(path).st_mtime
    except OSError:
        return False
    if changed < time.time() - 3600 * _HOURS_OF_A_DEAD_ONE:
        return True
    if host not in (None, _HOST) or os.name != "posix":  # elsewhere os.kill(pid, 0) does not ask but kill
        return False
    if pid == os.getpid():
        return changed < _STARTED
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # it runs, as another user
    return False


def _sync_folder(folder: str) -> None:
    """Bring the new name itself to the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Finding -----------------------------------------------------------------------------------------


def _numbered(work_dir: str, prefix: str, suffix: str) -> list[tuple[int, str]]:
    pattern = re.compile(rf"{re.escape(prefix)}(\d+)\.{re.escape(suffix)}")
    try:
        names = os.listdir(work_dir)
    except OSError:
        return []
    matches = (pattern.fullmatch(name) for name in names)
    return [(int(m[1]), os.path.join(work_dir, m[0])) for m in matches if m is not None]


def _best(work_dir: str, suffix: str) -> list[str]:
    try:
        names = os.listdir(work_dir)
    except OSError:
        return []
    return [os.path.join(work_dir, n) for n in names if n.startswith("best_") and n.endswith(f".{suffix}")]


def _age(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _iteration_if_whole(path: str) -> int | None:
    """Return the iteration that ``path`` stands at (0 where it does not say), or None where it is broken."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("it is no file")
        checkpoint = read_torch_file(path)
        if not isinstance(checkpoint, dict):
            raise ValueError(f"it holds a {type(checkpoint).__name__}")
        meta = checkpoint.get("meta")
        iteration = meta.get("iter") if isinstance(meta, dict) else None
        return int(iteration or 0)
    except Exception as error:  # whatever is wrong with the file, the one before it may be whole
        reason = str(error).partition("\n")[0] or type(error).__name__
        get_root_logger().warning(f"skipped the broken checkpoint {path}: {reason}")
        return None
