"""CamVid in the 11 classes of SegNet, from the official frames or from SegNet's own copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg.conversion.draft import Draft
from mmseg.conversion.masks import Mismatch, allowed, check_size, look_up, read_mask, read_pixels, save_mask
from mmseg.conversion.pairs import Pair, by_stem, find_root, match, need_folder, refuse
from mmseg.conversion.splits import SPLIT_FILE, read_split, write_split
from mmseg.conversion.work import convert_all
from mmseg.utils.errors import UserError

OUT_DIR, SIZE = "data/camvid", (480, 360)
SPLITS = ("train", "val", "test")
IGNORED = 255
_SUFFIXES = (".png", ".jpg")

# The 31 classes of the official colours (RRGGBB) in the 11 groups of Badrinarayanan et al., SegNet, 2017,
# which come from Sturgess et al. 2009. The order of the groups is that of the labels; Void (000000) has none.
GROUPS = """
    sky: Sky 808080
    building: Archway C00080, Bridge 008040, Building 800000, Tunnel 400040, Wall 40C000
    pole: Column_Pole C0C080, TrafficCone 000040
    road: LaneMkgsDriv 8000C0, LaneMkgsNonDriv C00040, Road 804080
    pavement: ParkingBlock 40C080, RoadShoulder 8080C0, Sidewalk 0000C0
    tree: Tree 808000, VegetationMisc C0C000
    sign/symbol: Misc_Text 808040, SignSymbol C08080, TrafficLight 004040
    fence: Fence 404080
    car: Car 400080, OtherMoving 804040, SUVPickupTruck 4080C0, Train C04080, Truck_Bus C080C0
    pedestrian: Animal 408040, CartLuggagePram 4000C0, Child C08040, Pedestrian 404000
    bicyclist: Bicyclist 0080C0, MotorcycleScooter C000C0
"""
# Stray colours, as at the border of two regions, are ignored up to this share of a frame.
_STRAY = 0.01
# Pairs of folders with a split of their own: SegNet's masks of labels, and a copy of the official colours.
_SPLIT_FOLDERS = (("{}", "{}annot"), ("{}", "{}_labels"))


def convert_camvid(
    sources: Sequence[Path],
    out_dir: Path,
    *,
    split_file: Path | None = None,
    size: tuple[int, int] = SIZE,
    nproc: int = 1,
    overwrite: bool = False,
) -> dict[str, int]:
    """Write ``img_dir/SPLIT/NAME.jpg``, ``ann_dir/SPLIT/NAME.png`` (0 to 10, and 255) and ``split.txt``.

    Args:
        sources: Folders or archives with the official ``701_StillsRaw_full`` and ``LabeledApproved_full``,
            or one with SegNet's ``train``, ``trainannot``, ``val``, ...
        out_dir: The configs' ``data_root``.
        split_file: ``NAME SPLIT`` lines. None: the folders' own split, or SegNet's 367 frames for training,
            101 for validation and 233 for testing, which follow from the names.
        size: Width and height that frames of another size are scaled to.
        nproc: Processes.
        overwrite: Replace an earlier ``img_dir`` and ``ann_dir``.

    Returns:
        The number of frames of each split, and under ``stray`` that of pixels whose colour is no class.

    Raises:
        UserError: an image and its mask do not match (each is named), or a path is wrong. ``out_dir`` is as
            it was then.
    """
    with Draft(out_dir, fresh=("img_dir", "ann_dir"), overwrite=overwrite) as draft:
        folders, _ = draft.sources(sources)
        pairs = _find_pairs(folders)
        names = [pair.name for pair in pairs]
        twice = [name for name, count in Counter(names).items() if count > 1]
        refuse([f"{name} is there twice" for name in twice], total=len(names))
        if split_file is not None:
            split = read_split(split_file, names, known=SPLITS)
            pairs = [replace(pair, split=split[pair.name]) for pair in pairs]
        else:
            split = {pair.name: pair.split or segnet_split(pair.name) for pair in pairs}
            pairs = [replace(pair, split=split[pair.name]) for pair in pairs]
        work = partial(_convert, new=draft.new, size=tuple(size))
        stray = sum(convert_all(work, pairs, nproc, "converting CamVid"))
        write_split(draft.new / SPLIT_FILE, split)
        draft.commit()
    counts = Counter(split.values())
    return {**{name: counts[name] for name in SPLITS if counts[name]}, "stray": stray}


def segnet_split(name: str) -> str:
    """Return the split of a frame of CamVid in SegNet's division, by its name such as ``0016E5_07959``.

    Raises:
        UserError: the name is not CamVid's.
    """
    sequence, _, frame = name.partition("_")
    number = int(frame.lstrip("f")) if frame.lstrip("f").isdigit() else -1
    if number < 0 or sequence not in ("0001TP", "0006R0", "0016E5", "Seq05VD"):
        raise UserError(
            f"`{name}` is no name of a CamVid frame, such as 0001TP_006690, so its split is not known; "
            "give --split"
        )
    if sequence == "Seq05VD" or (sequence == "0001TP" and number > 8520):
        return "test"
    # The part that is labelled at 15 frames a second.
    return "val" if sequence == "0016E5" and 7959 <= number <= 8159 else "train"


def _find_pairs(folders: Sequence[Path]) -> list[Pair]:
    for image_folder, mask_folder in _SPLIT_FOLDERS:
        for folder in folders:
            root = find_root(folder, image_folder.format("train"), mask_folder.format("train"))
            if root is None:
                continue
            pairs = []
            for split in (s for s in SPLITS if (root / mask_folder.format(s)).is_dir()):
                images = by_stem(need_folder(root / image_folder.format(split), "images"), _SUFFIXES)
                masks = by_stem(root / mask_folder.format(split), ".png")
                pairs += match(images, {name.removesuffix("_L"): path for name, path in masks.items()}, split)
            return pairs
    images, masks = {}, {}
    for folder in folders:
        for name, path in by_stem(folder, _SUFFIXES, deep=True).items():
            stem = Path(name).name
            kind, stem = (masks, stem[:-2]) if stem.endswith("_L") else (images, stem)
            if stem in kind:
                refuse([f"{stem}: there is {kind[stem]} and {path}"], total=len(kind))
            kind[stem] = path
    if not masks:
        raise UserError(
            f"no mask *_L.png in {', '.join(map(str, folders))}; give the folders or archives "
            "701_StillsRaw_full and LabeledApproved_full, or SegNet's folder with train and trainannot"
        )
    return match(images, masks)


def _convert(pair: Pair, new: Path, size: tuple[int, int]) -> int:
    pixels = read_pixels(pair.mask)
    stray = 0
    if pixels.ndim == 3:
        mask, stray = from_colours(pixels, pair.mask)
    else:
        mask = look_up(read_mask(pair.mask), _index_table(), pair.mask)
    check_size(pair.image, mask)
    image = Image.open(pair.image).convert("RGB")
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
        mask = np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    save_mask(mask, new / "ann_dir" / pair.split / f"{pair.name}.png")
    target = new / "img_dir" / pair.split / f"{pair.name}.jpg"
    target.parent.mkdir(parents=True, exist_ok=True)
    image.save(target, quality=95)
    return stray


def from_colours(pixels: np.ndarray, path: Path) -> tuple[np.ndarray, int]:
    """Turn the official colours, uint8 (H, W, 3) RGB, into labels, uint8 (H, W): 0 to 10, and 255.

    Returns:
        The labels, and how many pixels have a colour of no class; these are 255.

    Raises:
        Mismatch: more than one pixel in a hundred has such a colour.
    """
    # Each channel of a class is 0, 64, 128 or 192, so its two highest bits are enough for a table of 64.
    high = pixels >> 6
    labels = _colour_table()[(high[..., 0] << 4) | (high[..., 1] << 2) | high[..., 2]]
    unknown = (labels < 0) | (pixels & 63).any(axis=-1)
    stray = int(np.count_nonzero(unknown))
    if stray > _STRAY * unknown.size:
        y, x = np.argwhere(unknown)[0]
        raise Mismatch(
            f"{path} holds {stray} pixels of {unknown.size} whose colour is no class of CamVid, such as "
            f"{tuple(pixels[y, x].tolist())} at x={x}, y={y}"
        )
    return np.where(unknown, IGNORED, labels).astype(np.uint8), stray


@cache
def _colour_table() -> np.ndarray:
    table = np.full(64, -1, np.int16)
    table[0] = IGNORED  # Void
    for label, line in enumerate(GROUPS.strip().splitlines()):
        for entry in line.split(":")[1].split(","):
            r, g, b = bytes.fromhex(entry.split()[1])
            table[(r >> 6 << 4) | (g >> 6 << 2) | (b >> 6)] = label
    return table


def _index_table() -> np.ndarray:
    """SegNet's labels: 0 to 10 are ours, 11 is void."""
    table = allowed([*range(11), IGNORED])
    table[11] = IGNORED
    return table
