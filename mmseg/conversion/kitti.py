"""KITTI's semantic benchmark: 200 frames with masks of label ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mmseg.conversion.draft import Draft
from mmseg.conversion.label_ids import IGNORED, LABEL_IDS, train_id_table
from mmseg.conversion.masks import Mismatch, check_size, look_up, place, read_mask, save_mask
from mmseg.conversion.pairs import Pair, by_stem, find_root, match, need_folder
from mmseg.conversion.splits import SPLIT_FILE, draw_split, read_split, write_split
from mmseg.conversion.work import convert_all
from mmseg.utils.errors import UserError

OUT_DIR = "data/kitti-seg-competition/seg_data_processed"
SEED = 0
_SUFFIX = "_10.png"
_LOOKED_AT = 20  # masks that show whether they are converted already


def convert_kitti(
    source: Path,
    out_dir: Path,
    *,
    split_file: Path | None = None,
    seed: int = SEED,
    nproc: int = 1,
    overwrite: bool = False,
) -> dict[str, int]:
    """Write ``{img_dir,ann_dir}/{train,val}/NNNNNN_10.png`` with train ids, and the split as ``split.txt``.

    A quarter of the frames, 50 of the official 200, is for validation. The frames of ``testing`` go to
    ``img_dir/test``.

    Args:
        source: ``data_semantics.zip``, or the folder it unpacks to.
        out_dir: The configs' ``data_root``.
        split_file: Fixes the split; else ``seed`` does. See ``splits.read_split``.
        seed: The split of all frames is a function of it and their names.
        nproc: Processes.
        overwrite: Replace an earlier ``img_dir`` and ``ann_dir``.

    Returns:
        The number of frames of each split.

    Raises:
        UserError: an image and its mask do not match (each is named), a mask holds no label ids, or a path is
            wrong. ``out_dir`` is as it was then.
    """
    with Draft(out_dir, fresh=("img_dir", "ann_dir"), overwrite=overwrite) as draft:
        (folder,), unpacked = draft.sources([source])
        root = find_root(folder, "training/semantic") or folder
        training = root / "training" if (root / "training").is_dir() else find_root(root, "semantic") or root
        masks = by_stem(need_folder(training / "semantic", "the masks of KITTI"), _SUFFIX)
        images = by_stem(need_folder(training / "image_2", "the images of KITTI"), _SUFFIX)
        if not masks:
            raise UserError(
                f"{training / 'semantic'} holds no mask ending in {_SUFFIX}; give the official download"
            )
        _refuse_train_ids(sorted(masks.values()))
        frames = [replace(pair, name=pair.name + _SUFFIX) for pair in match(images, masks)]
        names = [Path(pair.name).stem for pair in frames]
        split = (
            draw_split(names, seed, _num_val(len(names)))
            if split_file is None
            else read_split(split_file, names)
        )
        frames = [replace(pair, split=split[Path(pair.name).stem]) for pair in frames]

        convert_all(partial(_convert, new=draft.new, move=unpacked), frames, nproc, "converting KITTI")
        tests = by_stem(root / "testing" / "image_2", _SUFFIX)
        for path in tests.values():
            place(path, draft.new / "img_dir" / "test" / path.name, move=unpacked)
        write_split(draft.new / SPLIT_FILE, split)
        draft.commit()
    counts = Counter(split.values())
    return {"train": counts["train"], "val": counts["val"], **({"test": len(tests)} if tests else {})}


def _convert(pair: Pair, new: Path, move: bool) -> None:
    mask = look_up(read_mask(pair.mask), train_id_table(), pair.mask)
    check_size(pair.image, mask)
    save_mask(mask, new / "ann_dir" / pair.split / pair.name)
    place(pair.image, new / "img_dir" / pair.split / pair.name, move)


def _num_val(frames: int) -> int:
    return max(frames // 4, min(1, frames - 1))


def _refuse_train_ids(masks: Sequence[Path]) -> None:
    """Masks that were converted already would pass, and come out as nonsense."""
    seen: set[int] = set()
    for path in masks[:_LOOKED_AT]:
        try:
            seen.update(read_mask(path).ravel().tolist())
        except Mismatch:
            continue  # listed with the others later
    if IGNORED in seen and max(seen - {IGNORED}, default=0) < len(LABEL_IDS):
        raise UserError(
            f"the masks in {masks[0].parent} hold {min(seen)} to {max(seen - {IGNORED}, default=0)} and 255: "
            "these are train ids, converted already; give the benchmark's own masks of label ids (0 to 33)"
        )
