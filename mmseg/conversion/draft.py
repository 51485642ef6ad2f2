"""Writing a data set so that it is there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from mmseg.conversion.archives import is_archive, unpack
from mmseg.utils.errors import UserError


class Draft:
    """A hidden folder inside ``out_dir`` whose files take their places with :meth:`commit`.

    Used as a context; whatever happens before ``commit`` leaves ``out_dir`` as it was.

    Args:
        out_dir: The data set's folder; made if missing.
        fresh: Folders of ``out_dir`` that are made anew and must not exist yet.
        overwrite: Replace those that do.

    Attributes:
        new: Folder for the new files, laid out as in ``out_dir``.

    Raises:
        UserError: a folder of ``fresh`` is there without ``overwrite``, or ``out_dir`` cannot be written.
    """

    def __init__(self, out_dir: Path, fresh: Sequence[str] = (), overwrite: bool = False) -> None:
        self.out_dir, self.fresh = out_dir, tuple(fresh)
        there = [name for name in fresh if (out_dir / name).exists()]
        if there and not overwrite:
            raise UserError(
                f"{out_dir / there[0]} is there already; give another --out-dir, or --overwrite to replace "
                f"{' and '.join(there)}"
            )
        self._path = out_dir / f".converting-{uuid.uuid4().hex[:8]}"
        self._made: list[Path] = []
        self._unpacked = 0
        self.new = self._path / "new"

    def __enter__(self) -> Draft:
        self._made = [p for p in (self.out_dir, *self.out_dir.parents) if not p.exists()]
        try:
            self.new.mkdir(parents=True)
        except OSError as error:
            self._clean()
            raise UserError(
                f"cannot write to {self.out_dir}: {error.strerror}; give another --out-dir"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean()
        if isinstance(error, OSError):
            raise UserError(
                f"converting into {self.out_dir} failed: {error}; nothing was changed there"
            ) from error

    def sources(self, paths: Sequence[Path]) -> tuple[list[Path], bool]:
        """Return a folder for each of ``paths``: itself, or what it was unpacked to; and whether it was.

        Raises:
            UserError: a path does not exist or is neither a folder nor an archive, or both kinds are mixed.
        """
        for path in paths:
            if not path.exists():
                raise UserError(
                    f"{path} does not exist; give the official download, or the folder it unpacks to"
                )
            if not path.is_dir() and not is_archive(path):
                raise UserError(
                    f"{path} is neither a folder nor a .zip or .tar archive; is its download complete?"
                )
        if all(path.is_dir() for path in paths):
            return list(paths), False
        if any(path.is_dir() for path in paths):
            raise UserError("give either folders or archives, not both; unpack the archives first")
        folders = []
        for path in paths:
            # Each into a folder of its own: some archives hold their files without one.
            self._unpacked += 1
            folders.append(self._path / "unpacked" / str(self._unpacked))
            unpack(path, folders[-1])
        return folders, True

    def commit(self) -> None:
        """Put the new files in their places."""
        for name in self.fresh:
            if (self.out_dir / name).exists():
                (self.out_dir / name).rename(self._path / f"old-{name}")
        _merge(self.new, self.out_dir)
        self._made = []

    def _clean(self) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                break


def _merge(source: Path, target: Path) -> None:
    for entry in source.iterdir():
        there = target / entry.name
        if entry.is_dir() and there.is_dir():
            _merge(entry, there)
        else:
            os.replace(entry, there)
