"""ADE20K in 150 classes (scene parsing challenge 2016), whose layout is already that of the configs."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

from mmseg.conversion.draft import Draft
from mmseg.conversion.masks import allowed, check_size, look_up, place, read_mask
from mmseg.conversion.pairs import Pair, by_stem, find_root, match, need_folder
from mmseg.conversion.work import convert_all
from mmseg.utils.errors import UserError

OUT_DIR = "data/ade/ADEChallengeData2016"
SPLITS = ("training", "validation")
_LISTS = ("objectInfo150.txt", "sceneCategories.txt")


def convert_ade(source: Path, out_dir: Path, *, nproc: int = 1, overwrite: bool = False) -> dict[str, int]:
    """Write ``{images,annotations}/{training,validation}``, after a check of every pair.

    The masks stay as they are: 0 is 'other', 1 to 150 are the classes (``reduce_zero_label`` in the configs).

    Args:
        source: ``ADEChallengeData2016.zip``, or the folder it unpacks to. Where this is ``out_dir`` itself,
            its pairs are checked and nothing is written.
        out_dir: The configs' ``data_root``.
        nproc: Processes.
        overwrite: Replace earlier ``images`` and ``annotations``.

    Returns:
        The number of frames of each split.

    Raises:
        UserError: an image and its mask do not match (each is named), or a path is wrong. ``out_dir`` is as
            it was then.
    """
    root = find_root(source, "images", "annotations") if source.is_dir() else None
    in_place = root is not None and root.resolve() == out_dir.resolve()
    with Draft(out_dir, fresh=() if in_place else ("images", "annotations"), overwrite=overwrite) as draft:
        (folder,), unpacked = draft.sources([source])
        root = find_root(folder, "images", "annotations")
        if root is None:
            raise UserError(f"{source} holds no folders images and annotations; give ADEChallengeData2016")
        pairs: list[Pair] = []
        for split in SPLITS:
            images = by_stem(need_folder(root / "images" / split, "images"), ".jpg")
            masks = by_stem(need_folder(root / "annotations" / split, "masks"), ".png")
            pairs += match(images, masks, split)
        if not pairs:
            raise UserError(f"{root} holds no images/*/*.jpg; give the official download")
        work = partial(_convert, new=None if in_place else draft.new, move=unpacked)
        convert_all(work, pairs, nproc, "checking ADE20K" if in_place else "converting ADE20K")
        for name in _LISTS:
            if (root / name).is_file() and not in_place:
                place(root / name, draft.new / name)
        draft.commit()
    counts = Counter(pair.split for pair in pairs)
    return {split: counts[split] for split in SPLITS}


def _convert(pair: Pair, new: Path | None, move: bool) -> None:
    mask = look_up(read_mask(pair.mask), allowed(range(151)), pair.mask)
    check_size(pair.image, mask)
    if new is not None:
        place(pair.mask, new / "annotations" / pair.split / pair.mask.name, move)
        place(pair.image, new / "images" / pair.split / pair.image.name, move)
