"""Unpacking a downloaded archive without trusting the names in it."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from mmseg.conversion.progress import terminal_bar
from mmseg.utils.errors import UserError


def is_archive(path: Path) -> bool:
    """Whether ``path`` is a .zip or a (compressed) .tar file, by its content, even if cut short."""
    try:
        return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))
    except (EOFError, zlib.error, lzma.LZMAError):
        return True


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the files of ``archive`` below ``folder``.

    Raises:
        UserError: the archive is damaged, does not fit on the disk, or holds a link or a name that leads
            out of ``folder``.
    """
    from rich.progress import DownloadColumn

    members = _zip_members if zipfile.is_zipfile(archive) else _tar_members
    folder.mkdir(parents=True, exist_ok=True)
    try:
        needed, free = _size(archive), shutil.disk_usage(folder).free
        if needed > free:
            raise UserError(
                f"{archive} holds {needed / 1e9:.1f} GB and {folder.parent} has {free / 1e9:.1f} GB free; "
                "give an --out-dir on another disk"
            )
        with terminal_bar(DownloadColumn()) as bar:
            task = bar.add_task(f"unpacking {archive.name}", total=needed)
            for name, size, content in members(archive):
                target = folder / _safe(name, archive)
                target.parent.mkdir(parents=True, exist_ok=True)
                with content, target.open("wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)
                bar.advance(task, size)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        RuntimeError,
    ) as error:
        raise UserError(f"{archive} is damaged ({error}); download it again") from None


def _size(archive: Path) -> int:
    """Bytes of the files in an archive; of a .tar its own size, as counting would mean to read it all."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            return sum(info.file_size for info in file.infolist())
    return archive.stat().st_size


def _zip_members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if info.is_dir():
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                raise UserError(
                    f"{archive} holds the link `{info.filename}`; it is not the official download"
                )
            yield info.filename, info.file_size, file.open(info)


def _tar_members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with tarfile.open(archive) as file:
        for member in file:
            if member.isdir():
                continue
            content = file.extractfile(member) if member.isreg() else None
            if content is None:
                raise UserError(
                    f"{archive} holds `{member.name}`, a link or device; it is not the official download"
                )
            yield member.name, member.size, content


def _safe(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
        raise UserError(
            f"{archive} holds `{name}`, which would be written outside its folder; "
            "it is not the official download"
        )
    return path
