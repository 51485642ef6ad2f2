"""Pascal VOC 2012, enlarged by the masks of SBD (Hariharan et al., Semantic Contours from Inverse Detectors,
2011)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mmseg.conversion.draft import Draft
from mmseg.conversion.masks import Mismatch, allowed, check_size, look_up, place, read_mask, save_mask
from mmseg.conversion.pairs import Pair, by_stem, find_root, need_folder, refuse
from mmseg.conversion.work import convert_all
from mmseg.utils.errors import UserError

INSTALL = 'pip install -e ".[voc]"'
TRAINAUG = 10582  # frames of the official downloads
_LISTS, _MASKS, _AUG, _IMAGES = (
    "ImageSets/Segmentation",
    "SegmentationClass",
    "SegmentationClassAug",
    "JPEGImages",
)


def convert_voc_aug(
    devkit: Path, sbd: Path, out_dir: Path | None = None, *, nproc: int = 1
) -> dict[str, int]:
    """Write ``SegmentationClassAug/NAME.png`` (0 to 20, and 255), ``aug.txt`` and ``trainaug.txt``.

    The lists, below ``ImageSets/Segmentation``: ``train`` and ``val`` are VOC's own; ``aug`` are the frames
    of SBD that are in neither; ``trainaug`` is ``train`` and ``aug``. ``SegmentationClassAug`` holds all of
    ``trainaug`` and ``val``; frames that VOC itself labels have VOC's masks, which mark the borders as 255.

    Args:
        devkit: ``VOCdevkit``, its ``VOC2012``, or ``VOCtrainval_11-May-2012.tar``.
        sbd: SBD's folder (``dataset/cls/*.mat``, ``dataset/train.txt``, ``val.txt``) or ``benchmark.tgz``.
        out_dir: The configs' ``data_root``. None is VOC2012 itself: nothing is copied then.
        nproc: Processes.

    Returns:
        The number of frames of each list.

    Raises:
        UserError: an image and its mask do not match (each is named), a path is wrong, or scipy is missing.
            ``out_dir`` is as it was then.
    """
    _need_scipy()
    root = find_root(devkit, _LISTS, _IMAGES) if devkit.is_dir() else None
    if devkit.is_dir() and root is None:
        raise UserError(f"{devkit} holds no {_LISTS} and {_IMAGES}; give VOCdevkit, or VOC2012 in it")
    target = out_dir or root
    if target is None:
        raise UserError("give --out-dir, the folder that VOC's archive is to be unpacked into")
    with Draft(target) as draft:
        (voc,), voc_unpacked = draft.sources([devkit])
        (boundaries,), _ = draft.sources([sbd])
        voc = find_root(voc, _LISTS, _IMAGES, levels=3) or voc
        train, val = (_names(voc / _LISTS / f"{name}.txt") for name in ("train", "val"))
        dataset = find_root(boundaries, "cls", "train.txt", levels=3) or boundaries
        mats = by_stem(need_folder(dataset / "cls", "SBD's masks"), ".mat")
        both = {*_names(dataset / "train.txt"), *_names(dataset / "val.txt")}
        aug = sorted(both - {*train, *val})
        lists = {"train": train, "aug": aug, "trainaug": sorted({*train, *aug}), "val": val}

        masks = {name: voc / _MASKS / f"{name}.png" for name in (*train, *val)}
        masks |= {name: mats.get(name, dataset / "cls" / f"{name}.mat") for name in aug}
        pairs = [Pair(name, voc / _IMAGES / f"{name}.jpg", path) for name, path in sorted(masks.items())]
        missing = [
            f"{p.name}: {f} does not exist" for p in pairs for f in (p.image, p.mask) if not f.is_file()
        ]
        refuse(missing, total=len(pairs))
        in_place = root is not None and target.resolve() == root.resolve()
        work = partial(_convert, new=draft.new, copy=not in_place, move=voc_unpacked)
        convert_all(work, pairs, nproc, "converting VOC")
        (draft.new / _LISTS).mkdir(parents=True)
        for name, names in lists.items():
            if not in_place or name in ("aug", "trainaug"):
                (draft.new / _LISTS / f"{name}.txt").write_text(
                    "".join(f"{n}\n" for n in names), encoding="utf-8"
                )
        draft.commit()
    return {name: len(names) for name, names in lists.items()}


def _names(path: Path) -> list[str]:
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise UserError(f"cannot read the list {path}: {error.strerror}; unpack the whole download") from None
    if not names:
        raise UserError(f"the list {path} is empty; download it again")
    return names


def _convert(pair: Pair, new: Path, copy: bool, move: bool) -> None:
    own = pair.mask.suffix == ".png"
    mask = look_up(
        read_mask(pair.mask) if own else read_sbd(pair.mask), allowed([*range(21), 255]), pair.mask
    )
    check_size(pair.image, mask)
    target = new / _AUG / f"{pair.name}.png"
    if not own:
        save_mask(mask, target)
    else:
        place(pair.mask, target)  # with its palette
    if copy:
        place(pair.image, new / _IMAGES / f"{pair.name}.jpg", move)
        if own:
            place(pair.mask, new / _MASKS / f"{pair.name}.png", move)


def read_sbd(path: Path) -> np.ndarray:
    """Return the classes, uint8 (H, W), of one of SBD's ``cls/*.mat`` files.

    Raises:
        Mismatch: the file is damaged, or holds something else.
    """
    from scipy.io import loadmat

    try:
        return np.asarray(loadmat(path)["GTcls"][0]["Segmentation"][0], dtype=np.uint8)
    except Exception as error:  # scipy raises many kinds for a damaged file
        raise Mismatch(f"cannot read {path} as a mask of SBD: {type(error).__name__} {error}") from None


def _need_scipy() -> None:
    try:
        import scipy.io  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"SBD's masks are .mat files, and reading them needs scipy ({error}): {INSTALL}"
        ) from None


def shortfall(counts: dict[str, int]) -> Sequence[str]:
    """Return a line for the user where ``counts`` are not those of the official downloads, else nothing."""
    if counts["trainaug"] == TRAINAUG:
        return ()
    return (f"note: trainaug has {counts['trainaug']} frames; from the official downloads it has {TRAINAUG}",)
