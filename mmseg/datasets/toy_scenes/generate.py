"""Write a data set of drawn scenes, in the layout of the KITTI configs."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from mmseg.datasets.toy_scenes.scene import draw_scene
from mmseg.utils.errors import UserError

NUM_TRAIN, NUM_VAL, SEED, SIZE = 200, 50, 0, (416, 128)
MARKER = "toy.json"  # what a folder of ours holds besides img_dir and ann_dir
DRAWING = 1  # to be raised with every change of the pictures
SPLITS = ("train", "val")
FOLDERS = ("img_dir", "ann_dir")


def make_toy_dataset(
    root: str | os.PathLike[str],
    *,
    num_train: int = NUM_TRAIN,
    num_val: int = NUM_VAL,
    seed: int = SEED,
    size: tuple[int, int] = SIZE,
    nproc: int = 1,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Draw ``root/{img_dir,ann_dir}/{train,val}/NNNNNN_10.png``: RGB scenes and masks of train ids.

    The pixels follow from ``seed``, the split, the scene's number and ``size``, on any machine. The
    scenes are drawn into a folder beside ``root`` that takes its place when all of them are there, so
    ``root`` is never half filled, and processes may do this at the same time. A folder drawn earlier
    with other arguments is replaced; one that holds the same scenes is left as it is.

    Args:
        root: The folder to make.
        num_train, num_val: Scenes of each split, at least 1. Six in a row hold every class.
        seed: A non-negative integer.
        size: Width and height in pixels; at least 64x64.
        nproc: Processes that draw. More than one needs a main module that can be imported.
        force: Write into a folder that holds other things: its ``img_dir`` and ``ann_dir`` are replaced.
        progress: Called with (scenes drawn, scenes in all) after each.

    Returns:
        Whether anything was drawn.

    Raises:
        UserError: an argument out of range, a folder that is not a toy data set, or one that cannot be
            written.
    """
    for name, number, least in (("num_train", num_train, 1), ("num_val", num_val, 1), ("seed", seed, 0)):
        if not isinstance(number, int) or number < least:
            raise UserError(f"`{name}` must be a whole number of at least {least}, not {number!r}")
    if len(size) != 2 or not all(isinstance(n, int) and n >= 64 for n in size):
        raise UserError(f"`size` must be a width and a height of at least 64 pixels each, not {tuple(size)}")
    shown, root = Path(root), Path(os.path.realpath(root))
    recipe = dict(drawing=DRAWING, num_train=num_train, num_val=num_val, seed=seed, size=list(size))
    if _holds(root, recipe):
        return False
    if root.exists() and not root.is_dir():
        raise UserError(f"{shown} is a file; give a folder for the toy data set")
    try:
        if not force and not (root / MARKER).exists() and root.is_dir() and any(root.iterdir()):
            raise UserError(
                f"{shown} is not empty and holds no toy data set; give another folder, or --force to "
                "replace its img_dir and ann_dir"
            )
        root.parent.mkdir(parents=True, exist_ok=True)
        draft = root.parent / f".{root.name}-{uuid.uuid4().hex[:8]}"
        try:
            _draw_into(draft, recipe, max(1, nproc), progress)
            _move(draft, root, recipe)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"cannot write the toy data set to {shown}: {error.strerror or error}; give a folder on a disk "
            "with space that you may write to"
        ) from error
    return True


def _holds(root: Path, recipe: dict[str, Any]) -> bool:
    """Return whether ``root`` has all the scenes of ``recipe``."""
    try:
        if json.loads((root / MARKER).read_text(encoding="utf-8")) != recipe:
            return False
        counts = [len(os.listdir(root / f / s)) for f in FOLDERS for s in SPLITS]
    except (OSError, ValueError):
        return False
    return counts == [recipe["num_train"], recipe["num_val"]] * 2


def _draw_into(
    folder: Path, recipe: dict[str, Any], nproc: int, progress: Callable[[int, int], None] | None
) -> None:
    for name in FOLDERS:
        for split in SPLITS:
            (folder / name / split).mkdir(parents=True)
    tasks = [
        (str(folder), split, index, recipe["seed"], *recipe["size"])
        for split in SPLITS
        for index in range(recipe[f"num_{split}"])
    ]
    for done, _ in enumerate(_each(tasks, nproc), start=1):
        if progress is not None:
            progress(done, len(tasks))
    (folder / MARKER).write_text(json.dumps(recipe) + "\n", encoding="utf-8")


def _each(tasks: list[tuple[Any, ...]], nproc: int) -> Iterator[None]:
    if nproc == 1:
        yield from map(_draw_one, tasks)
        return
    # A server of fresh processes where there is one: forking this one would copy its threads' locks.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(nproc, mp_context=context) as pool:
        yield from pool.map(_draw_one, tasks, chunksize=4)


def _draw_one(task: tuple[str, str, int, int, int, int]) -> None:
    folder, split, index, seed, width, height = task
    image, label = draw_scene((seed, SPLITS.index(split), index), index, width, height)
    name = f"{index:06d}_10.png"
    Image.fromarray(image).save(Path(folder, "img_dir", split, name))
    Image.fromarray(label).save(Path(folder, "ann_dir", split, name))


def _move(draft: Path, root: Path, recipe: dict[str, Any]) -> None:
    """Put ``draft`` in the place of ``root``; what ``root`` holds besides a toy data set stays."""
    try:
        draft.rename(root)  # also over an empty folder
        return
    except OSError:
        if not root.is_dir():
            raise
    if _holds(root, recipe):  # another process was faster
        return
    (root / MARKER).unlink(missing_ok=True)
    for name in FOLDERS:
        shutil.rmtree(root / name, ignore_errors=True)
        (draft / name).rename(root / name)
    (draft / MARKER).rename(root / MARKER)
