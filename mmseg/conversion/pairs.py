"""Finding the pairs of image and mask in a download."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmseg.conversion.masks import Mismatch, describe_sizes, image_size
from mmseg.utils.errors import UserError

_SHOWN = 100  # problems that are listed by name


@dataclass(frozen=True)
class Pair:
    """An image, its mask, and where they go.

    Attributes:
        name: Without suffix; what messages and lists call it.
        image, mask: Their files.
        split: ``train``, ``val``, ... ; empty where the data set keeps its own folders.
    """

    name: str
    image: Path
    mask: Path
    split: str = ""


def by_stem(folder: Path, suffix: str | tuple[str, ...], deep: bool = False) -> dict[str, Path]:
    """Return the files of ``folder`` (``deep``: below it) that end in ``suffix``, by their names without it.

    With ``deep`` a name keeps its folders. Hidden files are left out; a missing folder has none.
    """
    suffixes = (suffix,) if isinstance(suffix, str) else suffix
    found = {}
    for path in sorted(folder.rglob("*") if deep else folder.glob("*")):
        relative = path.relative_to(folder)
        end = next((s for s in suffixes if path.name.endswith(s)), None)
        if end is None or any(part.startswith(".") for part in relative.parts) or not path.is_file():
            continue
        found[relative.as_posix()[: -len(end)]] = path
    return found


def match(images: Mapping[str, Path], masks: Mapping[str, Path], split: str = "") -> list[Pair]:
    """Join images and masks of the same name, sorted by it.

    Raises:
        UserError: an image without mask or a mask without image; each is listed.
    """
    problems = [f"{images[n]} has no mask" for n in sorted(set(images) - set(masks))]
    problems += [f"{masks[n]} has no image" for n in sorted(set(masks) - set(images))]
    if problems:  # then the others are not converted, which would tell what is wrong with them
        problems += filter(
            None, (_size_problem(images[n], masks[n]) for n in sorted(set(images) & set(masks)))
        )
    refuse(problems, total=len(set(images) | set(masks)))
    return [Pair(name, images[name], masks[name], split) for name in sorted(images)]


def _size_problem(image: Path, mask: Path) -> str | None:
    try:
        sizes = [image_size(path) for path in (image, mask)]
    except Mismatch:  # such as polygons
        return None
    return None if sizes[0] == sizes[1] else f"{mask}: {describe_sizes(*sizes)}"


def refuse(problems: Iterable[str], total: int) -> None:
    """Raise a ``UserError`` that lists ``problems``, one a line, where there are any."""
    problems = list(problems)
    if not problems:
        return
    more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    lines = [f"\n  {line}" for line in problems[:_SHOWN] + more]
    raise UserError(
        f"{len(problems)} of {total} pairs of image and mask do not match or cannot be read, so nothing was "
        f"written; copy them anew from the download, or remove both files of each:{''.join(lines)}"
    )


def find_root(folder: Path, *needed: str, levels: int = 2) -> Path | None:
    """Return ``folder``, or the first below it, at most ``levels`` down, that has all ``needed`` in it."""
    level = [folder]
    for _ in range(levels + 1):
        for candidate in level:
            if all((candidate / name).exists() for name in needed):
                return candidate
        level = [
            p
            for candidate in level
            if candidate.is_dir()
            for p in sorted(candidate.iterdir())
            if p.is_dir() and not p.name.startswith(".")
        ]
    return None


def need_folder(folder: Path, what: str) -> Path:
    """Return ``folder``, or raise ``UserError`` where it is missing; ``what`` says what it should hold."""
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist, but {what} should be there; unpack the whole download")
    return folder
