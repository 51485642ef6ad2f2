"""Fetch one file over HTTP: again after a failure that may pass, going on from what is there already."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from mmseg import __version__
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger

TIMEOUT_S = 30.0  # without a single byte
# Before the second, third and fourth try in a row; a try that brings bytes starts the count anew.
WAITS_S = (1.0, 2.0, 5.0)
_CHUNK = 1 << 20
_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)


class PassingError(Exception):
    """A failure that another try may not meet, in a few words."""


@dataclass(frozen=True)
class Note:
    """What a server said of a file, kept beside the part of it that has come.

    Attributes:
        url: Where the part comes from.
        etag, modified: The server's marks of the file's version; empty where it gives none.
        total: Bytes of the whole file; None where the server does not say.
    """

    url: str
    etag: str = ""
    modified: str = ""
    total: int | None = None

    @property
    def version(self) -> str:
        """What ``If-Range`` may name; weak marks are not for pieces of a file."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


def fetch(url: str, part: Path, *, place: str, is_checked: bool = False) -> tuple[Note, bool]:
    """Bring the file at ``url`` to ``part``, which may hold its beginning from an earlier time.

    The rest is asked for by a Range request that names the version of the file. A server that cannot do
    that, or has another version by now, makes it start anew.

    Args:
        url: ``http`` or ``https``.
        part: The file to write; what is known of it is kept beside it, under the same name with ``.json``.
        place: Where a user who has no network should put the file, for messages.
        is_checked: Whether the result will be checked by its hash, so that it may go on from a part whose
            version is not known.

    Returns:
        What the server said of the file, and whether part of it is of an earlier time.

    Raises:
        UserError: the server does not have it, cannot be reached, or stops each time at the same place; the
            disk is full; the folder cannot be written.
    """
    before = _size(part)
    with _bar(part.name.removesuffix(".part")) as bar:
        best, failures = before, 0
        while True:
            try:
                note, kept = _attempt(url, part, is_checked, bar, place)
                return note, bool(kept)
            except PassingError as error:
                size = _size(part)
                failures = 1 if size > best else failures + 1
                best = max(best, size)
                if failures > len(WAITS_S):
                    raise UserError(
                        f"cannot download {url}: {error} ({failures} times in a row); try again later (what"
                        f" has come is kept), or bring the file to {place} in another way"
                    ) from None
                get_root_logger().warning(f"download of {url}: {error}; trying again")
                time.sleep(WAITS_S[failures - 1])


def discard(part: Path) -> None:
    """Delete the part of a download and what is known of it."""
    for path in (part, _note_path(part)):
        with contextlib.suppress(OSError):
            path.unlink()


def is_web_page(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is a page for people instead of a checkpoint."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body", b"<!--", b'{"', b"{\n"))


def is_lfs_pointer(head: bytes) -> bool:
    """Whether a file that begins with ``head`` only names a file of Git LFS."""
    return head.lstrip().startswith(b"version https://git-lfs")


# One request -------------------------------------------------------------------------------------


def _attempt(url: str, part: Path, is_checked: bool, bar: Any, place: str) -> tuple[Note, int]:
    """Ask once for what is missing; returns the note and the bytes that were there before."""
    note, have = _read_note(part), _size(part)
    usable = note is not None and note.url == url and (is_checked or note.version)
    if note is None or not usable or have > (note.total or have):
        note, have = None, 0
    if note is not None and have and have == note.total:
        return note, have
    try:
        response = _open(url, note, have)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # the file there is shorter now
            discard(part)
            return _attempt(url, part, is_checked, bar, place)
        raise _explain_status(url, error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _explain_failure(url, error, place) from None
    with response:
        if have and response.status == 206:
            if not _goes_on(response, note, have):
                discard(part)
                return _attempt(url, part, is_checked, bar, place)
        else:
            have = 0
            note = _note_of(url, response)
        _receive(response, part, note, have, bar)
    size = _size(part)
    if note.total is not None and size > note.total:
        discard(part)
        raise PassingError(f"the server sent {size} bytes of {note.total}")
    if note.total is not None and size < note.total:
        raise PassingError(f"the connection ended after {_mega(size)} of {_mega(note.total)} MB")
    return note, have


def _open(url: str, note: Note | None, have: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": f"mmseg/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
    if note is not None and have:
        headers["Range"] = f"bytes={have}-"
        if note.version:
            headers["If-Range"] = note.version
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)


def _goes_on(response: http.client.HTTPResponse, note: Note | None, have: int) -> bool:
    """Whether a partial answer continues the part: also of servers that take no notice of ``If-Range``."""
    found = re.fullmatch(r"bytes (\d+)-\d*/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if note is None or found is None or int(found[1]) != have:
        return False
    theirs = _note_of(note.url, response)
    pairs = [(theirs.etag, note.etag), (theirs.modified, note.modified)]
    if found[2] != "*" and note.total is not None:
        pairs.append((found[2], str(note.total)))
    return all(a == b for a, b in pairs if a and b)


def _note_of(url: str, response: http.client.HTTPResponse) -> Note:
    headers = response.headers
    length = headers.get("Content-Length", "")
    total = int(length) if length.isdigit() and response.status == 200 else None
    return Note(url, headers.get("ETag", ""), headers.get("Last-Modified", ""), total)


def _receive(response: Any, part: Path, note: Note, have: int, bar: Any) -> None:
    with _writing(part):
        if not have:
            discard(part)
            _check_space(part, note.total)
            _note_path(part).write_text(json.dumps(asdict(note)))
        file: IO[bytes] = open(part, "ab" if have else "wb")  # noqa: SIM115 - closed below
    task = bar.add_task("", total=note.total, completed=have)
    try:
        while chunk := _read(response):
            with _writing(part):
                file.write(chunk)
            bar.advance(task, len(chunk))
        with _writing(part):
            file.flush()
            os.fsync(file.fileno())
    finally:
        bar.remove_task(task)
        with contextlib.suppress(OSError):  # flushing again what did not fit
            file.close()


def _read(response: Any) -> bytes:
    try:
        return response.read1(_CHUNK)
    except TimeoutError:
        raise PassingError(f"nothing came for {TIMEOUT_S:g} seconds") from None
    except (OSError, http.client.HTTPException) as error:
        raise PassingError(f"the connection broke ({_one_line(error)})") from None


# What failed -------------------------------------------------------------------------------------


def _explain_status(url: str, error: urllib.error.HTTPError) -> Exception:
    with error:
        code = error.code
    if code in _PASSING_STATUS:
        return PassingError(f"the server answers {code} {error.reason}")
    if code in (404, 410):
        return UserError(f"{url}: the server has no such file ({code}); correct the address")
    if code in (401, 403, 407):
        return UserError(
            f"{url}: the server refuses to give it ({code}); download it in a browser, after a login if it"
            " needs one, and give its path"
        )
    return UserError(f"{url}: the server answers {code} {error.reason}; try the address in a browser")


def _explain_failure(url: str, error: Exception, place: str) -> Exception:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return UserError(
            f"{url}: its certificate cannot be verified ({_one_line(reason.verify_message)}); behind a proxy"
            " that replaces certificates, set SSL_CERT_FILE to a file with the proxy's own"
        )
    if isinstance(reason, socket.gaierror) and reason.errno != socket.EAI_AGAIN:
        host = urllib.request.urlparse(url).hostname
        return UserError(
            f"cannot download {url}: the name {host} is not known to this machine's network; correct it, or"
            f" without a network bring the file to {place}"
        )
    if isinstance(reason, (str, ValueError, http.client.InvalidURL)):
        return UserError(f"{url} is no address: {_one_line(reason)}")
    if isinstance(reason, TimeoutError):
        return PassingError(f"the server did not answer within {TIMEOUT_S:g} seconds")
    return PassingError(f"the server cannot be reached ({_one_line(reason)})")


@contextlib.contextmanager
def _writing(part: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(part, error) from error


def write_error(part: Path, error: OSError) -> UserError:
    """What to tell when the cache cannot be written; what is left of a full disk is given back."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        discard(part)
        what = f"the disk of {part.parent} is full"
    else:
        what = f"cannot write to {part.parent}: {error.strerror or error}"
    return UserError(f"{what}; set MMSEG_CACHE to a folder for downloads with space that can be written")


def _check_space(part: Path, total: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total > free:
        raise UserError(
            f"the download needs {_mega(total)} MB and {part.parent} has {_mega(free)} MB free; free some"
            " space or set MMSEG_CACHE to a folder on another disk"
        )


def _one_line(error: object) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(reason).split())[:150].rstrip(".;:")


def _mega(size: int) -> str:
    return f"{size / 1e6:.1f}"


# Beside the part ---------------------------------------------------------------------------------


def _note_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_note(part: Path) -> Note | None:
    try:
        return Note(**json.loads(_note_path(part).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except OSError:
        return 0


def _bar(name: str) -> Any:
    """A progress bar on the terminal of the machine's first process; nothing is drawn elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as Speed

    console = Console(stderr=True)
    shown = console.is_terminal and os.environ.get("LOCAL_RANK", "0") == "0"
    columns = (TextColumn(name, markup=False), BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not shown)
