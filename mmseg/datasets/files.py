"""Finding the files of a data set: pairs of image and mask, by folder or by split file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator

from mmseg.datasets.img_infos import ImgInfo, ImgInfos, Names
from mmseg.utils.errors import UserError

_LISTED = 64  # a folder with more names than this is listed once, not asked for each of them


def scan(folder: str, suffix: str | tuple[str, ...] = "") -> Iterator[str]:
    """Give the files below ``folder`` that end in ``suffix``, as paths relative to it, in no order.

    Hidden files are left out. Only directory entries are read, so a million files take seconds.
    """
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(os.path.join(folder, prefix)) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == ".":
                    continue
                if name.endswith(suffix) and entry.is_file():
                    yield prefix + name
                elif entry.is_dir():
                    pending.append(prefix + name + os.sep)


def find_pairs(img_dir: str, img_suffix: str, ann_dir: str | None, seg_map_suffix: str) -> ImgInfos:
    """List the images of a folder and its subfolders, sorted, with the masks that belong to them.

    Raises:
        UserError: the folder is missing or holds no such image.
    """
    check_folder(img_dir, "img_dir")
    names = sorted(scan(img_dir, img_suffix))
    if not names:
        others = next(scan(img_dir), None)
        seen = "it is empty" if others is None else f"it holds other files, such as {others}"
        raise UserError(
            f"no image ending in {img_suffix!r} in `img_dir` {os.path.abspath(img_dir)} ({seen}); "
            "put the images there or correct `img_suffix`"
        )
    stems = [name[: len(name) - len(img_suffix)] for name in names]
    return ImgInfos.from_stems(stems, img_suffix, None if ann_dir is None else seg_map_suffix)


def read_split(
    split: str, img_dir: str, img_suffix: str, ann_dir: str | None, seg_map_suffix: str
) -> ImgInfos:
    """List the images that a split file names, one a line without suffix, in its order.

    Raises:
        UserError: the file or the folder is missing, the file is empty, or an image that it names is missing.
    """
    stems = [line for _, line in _lines(split)]
    check_folder(img_dir, "img_dir")
    infos = ImgInfos.from_stems(stems, img_suffix, None if ann_dir is None else seg_map_suffix)
    missing = missing_files(img_dir, Names(stems, img_suffix))
    if missing:
        path = os.path.join(os.path.abspath(img_dir), stems[missing[0]] + img_suffix)
        remedy = "correct the file, `img_dir` or `img_suffix`"
        if os.path.isfile(os.path.join(img_dir, stems[missing[0]])):
            remedy = f"its lines are names without the suffix {img_suffix!r}"
        raise UserError(
            f"the `split` file {os.path.abspath(split)} names {_count(len(missing), 'image')} that "
            f"{'do' if len(missing) > 1 else 'does'} not exist, such as {path}; {remedy}"
        )
    return infos


def missing_files(folder: str, names: Collection[str]) -> list[int]:
    """Return which of ``names``, relative to ``folder``, are no files there.

    A subfolder with many of them is listed once: on a network drive that is far quicker than asking for each.
    """
    numbers = Counter(name.rpartition(os.sep)[0] for name in names)
    there = {sub: _files_in(os.path.join(folder, sub)) for sub, n in numbers.items() if n > _LISTED}
    missing = []
    for i, name in enumerate(names):
        sub, _, own = name.rpartition(os.sep)
        # Where upper and lower case mean the same file, one may be there under another name.
        if own not in there.get(sub, ()) and not os.path.isfile(os.path.join(folder, name)):
            missing.append(i)
    return missing


def _files_in(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()


def columns_of(line: str) -> list[str]:
    """Cut a line of a split file at tabs, else at commas, else at blanks."""
    for separator in ("\t", ","):
        if separator in line:
            return [part.strip() for part in line.split(separator)]
    return line.split()


def has_pairs(split: str, img_dir: str | None, img_suffix: str) -> bool:
    """Whether a split file has two columns, image and mask, rather than one name a line.

    The first line decides. A name may hold blanks or a comma itself: it is one where ``img_dir`` has
    that image.
    """
    first = next((text for _, text in _lines(split)), "")
    is_name = img_dir is not None and os.path.isfile(os.path.join(img_dir, first + img_suffix))
    return not is_name and len(columns_of(first)) == 2


def read_pairs(split: str, data_root: str | None) -> tuple[ImgInfos, str, str]:
    """List the pairs of image and mask that a split file names, one a line, in its order.

    Args:
        split: Text file with two columns, separated by a tab, a comma or (in paths without any) blanks.
        data_root: Folder that relative paths start from; None means the working directory.

    Returns:
        The pairs, and the folders of images and masks that their names are relative to.

    Raises:
        UserError: the file or one that it names is missing, or a line has not two columns.
    """
    images, masks, numbers = [], [], []
    root = os.path.abspath(data_root or "")
    for number, line in _lines(split):
        columns = columns_of(line)
        if len(columns) != 2 or not all(columns):
            raise UserError(
                f"{_place(split, number)} has {_count(len(columns), 'column')}, but needs two, the paths of "
                f"an image and its mask: {line!r}; separate them by a tab where paths hold commas or blanks"
            )
        images.append(os.path.normpath(os.path.join(root, columns[0])))
        masks.append(os.path.normpath(os.path.join(root, columns[1])))
        numbers.append(number)
    missing = [
        (number, kind, paths[number])
        for paths, kind in ((images, "image"), (masks, "mask"))
        for number in missing_files("", paths)[:1]
    ]
    if missing:
        number, kind, path = min(missing)
        raise UserError(
            f"{_place(split, numbers[number])} names the {kind} {path}, which does not exist; correct the "
            "line or `data_root` (relative paths start there)"
        )
    # Names below a common folder: results written under the same names then stay inside their folder.
    img_dir, ann_dir = (_common_folder(paths, root) for paths in (images, masks))
    columns = [_below(paths, folder) for paths, folder in ((images, img_dir), (masks, ann_dir))]
    return ImgInfos(*columns), img_dir, ann_dir


def _place(split: str, number: int) -> str:
    return f"line {number} of the `split` file {os.path.abspath(split)}"


def _common_folder(paths: list[str], root: str) -> str:
    """``root`` where all files are below it, else the deepest folder that holds them all."""
    common = os.path.commonpath({path.rpartition(os.sep)[0] or os.sep for path in paths})
    return root if os.path.commonpath([root, common]) == root else common


def _below(paths: list[str], folder: str) -> Names:
    """The paths relative to ``folder``, which holds all of them."""
    start = len(folder.rstrip(os.sep)) + 1
    return Names(path[start:] for path in paths)


def _lines(split: str) -> Iterator[tuple[int, str]]:
    """The lines of a split file that are not empty, with their numbers from 1.

    Raises:
        UserError: the file is missing or holds none.
    """
    empty = True
    try:
        with open(split, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line := line.strip():
                    empty = False
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the `split` file {os.path.abspath(split)}: "
            f"{getattr(error, 'strerror', None) or error}; correct `split` or `data_root`"
        ) from None
    if empty:
        raise UserError(f"the `split` file {os.path.abspath(split)} names no image; it needs one name a line")


def check_masks(img_infos: ImgInfos | list[ImgInfo], ann_dir: str) -> None:
    """Find out before training whether every image has its mask.

    Raises:
        UserError: the folder or a mask is missing.
    """
    check_folder(ann_dir, "ann_dir")
    if isinstance(img_infos, ImgInfos):
        names = list(img_infos.seg_maps)
    else:
        names = [info["ann"]["seg_map"] for info in img_infos]
    missing = missing_files(ann_dir, names)
    if missing:
        path = os.path.join(os.path.abspath(ann_dir), names[missing[0]])
        raise UserError(
            f"{_count(len(missing), 'image')} of {len(img_infos)} "
            f"{'have' if len(missing) > 1 else 'has'} no mask: {path} does not exist (image "
            f"{img_infos[missing[0]]['filename']}); check `ann_dir` and `seg_map_suffix`, or leave these "
            "images out with a `split` file"
        )


def check_folder(folder: str, argument: str) -> None:
    """Raise ``UserError`` where ``folder`` does not exist; ``argument`` names it in the config."""
    if not os.path.isdir(folder):
        what = "is a file, not a folder" if os.path.exists(folder) else "does not exist"
        raise UserError(
            f"`{argument}` {os.path.abspath(folder)} {what}; "
            f"put the data there, or correct `data_root` and `{argument}`"
        )


def read_names(path: str) -> list[str]:
    """Read class names from a text file, one a line.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return [line.strip() for line in file if line.strip()]
    except OSError as error:
        raise UserError(
            f"cannot read the class names in {os.path.abspath(path)}: {error.strerror}; "
            "`classes` is a list of names or a text file with one a line"
        ) from None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
