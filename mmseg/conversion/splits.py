"""Which frames are for training and which for validation: by a file, or by a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmseg.utils.errors import UserError

SPLIT_FILE = "split.txt"


def draw_split(names: Iterable[str], seed: int, num_val: int) -> dict[str, str]:
    """Return ``train`` or ``val`` for each name.

    A name's place follows from a hash of it and the seed, so the split is the same on every machine and
    with every version of every library.
    """
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return {name: "val" if i < num_val else "train" for i, name in enumerate(ranked)}


def read_split(path: Path, names: Sequence[str], known: Sequence[str] = ("train", "val")) -> dict[str, str]:
    """Read ``NAME SPLIT`` lines, or the names of the validation set alone; ``#`` begins a comment.

    Args:
        path: The file. Names may have their folder and suffix.
        names: The frames of the data set.
        known: The splits that there are.

    Raises:
        UserError: the file cannot be read, or does not put every frame into one split.
    """
    try:
        lines = [line.split("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the split file {path}: {error}") from None
    lines = [line for line in lines if line]
    columns = {len(line) for line in lines}
    if columns not in ({1}, {2}):
        raise UserError(
            f"the split file {path} must have lines `NAME SPLIT`, or the names of the validation set alone"
        )
    chosen: dict[str, str] = {}
    every = set(names)
    for line in lines:
        name = next((n for n in (line[0], Path(line[0]).name, Path(line[0]).stem) if n in every), None)
        if name is None:
            raise UserError(f"the split file {path} names `{line[0]}`, which the data set does not have")
        if name in chosen:
            raise UserError(f"the split file {path} names `{line[0]}` twice")
        chosen[name] = line[1] if len(line) == 2 else "val"
        if chosen[name] not in known:
            raise UserError(
                f"the split file {path} puts `{line[0]}` into `{line[1]}`; splits are {', '.join(known)}"
            )
    rest = sorted(every - set(chosen))
    if columns == {2} and rest:
        raise UserError(
            f"the split file {path} lacks {len(rest)} of {len(every)} frames, such as `{rest[0]}`"
        )
    return {**chosen, **dict.fromkeys(rest, "train")}


def write_split(path: Path, split: Mapping[str, str]) -> None:
    """Write what :func:`read_split` reads, sorted by name."""
    path.write_text("".join(f"{name} {split[name]}\n" for name in sorted(split)), encoding="utf-8")
