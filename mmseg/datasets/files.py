"""Finding the files of a data set: pairs of image and mask, by folder or by split file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from mmseg.utils.errors import UserError

ImgInfo = dict[str, Any]  # filename and, where there are masks, ann=dict(seg_map=...)


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


def find_pairs(img_dir: str, img_suffix: str, ann_dir: str | None, seg_map_suffix: str) -> list[ImgInfo]:
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
    return [_pair(name[: len(name) - len(img_suffix)], img_suffix, ann_dir, seg_map_suffix) for name in names]


def read_split(
    split: str, img_dir: str, img_suffix: str, ann_dir: str | None, seg_map_suffix: str
) -> list[ImgInfo]:
    """List the images that a split file names, one a line without suffix, in its order.

    Raises:
        UserError: the file or the folder is missing, the file is empty, or an image that it names is missing.
    """
    stems = [line for _, line in _lines(split)]
    check_folder(img_dir, "img_dir")
    missing = [s for s in stems if not os.path.isfile(os.path.join(img_dir, s + img_suffix))]
    if missing:
        path = os.path.join(os.path.abspath(img_dir), missing[0] + img_suffix)
        remedy = "correct the file, `img_dir` or `img_suffix`"
        if os.path.isfile(os.path.join(img_dir, missing[0])):
            remedy = f"its lines are names without the suffix {img_suffix!r}"
        raise UserError(
            f"the `split` file {os.path.abspath(split)} names {_count(len(missing), 'image')} that "
            f"{'do' if len(missing) > 1 else 'does'} not exist, such as {path}; {remedy}"
        )
    return [_pair(stem, img_suffix, ann_dir, seg_map_suffix) for stem in stems]


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


def read_pairs(split: str, data_root: str | None) -> tuple[list[ImgInfo], str, str]:
    """List the pairs of image and mask that a split file names, one a line, in its order.

    Args:
        split: Text file with two columns, separated by a tab, a comma or (in paths without any) blanks.
        data_root: Folder that relative paths start from; None means the working directory.

    Returns:
        The pairs, and the folders of images and masks that their names are relative to.

    Raises:
        UserError: the file or one that it names is missing, or a line has not two columns.
    """
    images, masks = [], []
    for number, line in _lines(split):
        where = f"line {number} of the `split` file {os.path.abspath(split)}"
        columns = columns_of(line)
        if len(columns) != 2 or not all(columns):
            raise UserError(
                f"{where} has {_count(len(columns), 'column')}, but needs two, the paths of an image and its "
                f"mask: {line!r}; separate them by a tab where paths hold commas or blanks"
            )
        for path, paths, kind in zip(columns, (images, masks), ("image", "mask"), strict=True):
            path = os.path.normpath(os.path.abspath(os.path.join(data_root or "", path)))
            if not os.path.isfile(path):
                raise UserError(
                    f"{where} names the {kind} {path}, which does not exist; correct the line or `data_root` "
                    "(relative paths start there)"
                )
            paths.append(path)
    # Names below a common folder: results written under the same names then stay inside their folder.
    img_dir, ann_dir = (_common_folder(paths, data_root) for paths in (images, masks))
    pairs = [
        {"filename": os.path.relpath(image, img_dir), "ann": {"seg_map": os.path.relpath(mask, ann_dir)}}
        for image, mask in zip(images, masks, strict=True)
    ]
    return pairs, img_dir, ann_dir


def _common_folder(paths: list[str], data_root: str | None) -> str:
    """``data_root`` where all files are below it, else the deepest folder that holds them all."""
    root = os.path.abspath(data_root or "")
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    return root if os.path.commonpath([root, common]) == root else common


def _lines(split: str) -> list[tuple[int, str]]:
    """The lines of a split file that are not empty, with their numbers from 1.

    Raises:
        UserError: the file is missing or holds none.
    """
    try:
        with open(split, encoding="utf-8") as file:
            lines = [(i, line.strip()) for i, line in enumerate(file, 1) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the `split` file {os.path.abspath(split)}: "
            f"{getattr(error, 'strerror', None) or error}; correct `split` or `data_root`"
        ) from None
    if not lines:
        raise UserError(f"the `split` file {os.path.abspath(split)} names no image; it needs one name a line")
    return lines


def check_masks(img_infos: list[ImgInfo], ann_dir: str) -> None:
    """Find out before training whether every image has its mask.

    Raises:
        UserError: the folder or a mask is missing.
    """
    check_folder(ann_dir, "ann_dir")
    there = set(scan(ann_dir))
    missing = [i for i in img_infos if i["ann"]["seg_map"] not in there]
    # A name with ../ or a hidden one is not in the listing, yet may be there.
    missing = [i for i in missing if not os.path.isfile(os.path.join(ann_dir, i["ann"]["seg_map"]))]
    if missing:
        path = os.path.join(os.path.abspath(ann_dir), missing[0]["ann"]["seg_map"])
        raise UserError(
            f"{_count(len(missing), 'image')} of {len(img_infos)} "
            f"{'have' if len(missing) > 1 else 'has'} no mask: {path} does not exist (image "
            f"{missing[0]['filename']}); check `ann_dir` and `seg_map_suffix`, or leave these images out "
            "with a `split` file"
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


def _pair(stem: str, img_suffix: str, ann_dir: str | None, seg_map_suffix: str) -> ImgInfo:
    info: ImgInfo = {"filename": stem + img_suffix}
    if ann_dir is not None:
        info["ann"] = {"seg_map": stem + seg_map_suffix}
    return info


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
