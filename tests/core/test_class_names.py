"""Class names and palettes."""

from __future__ import annotations

import pytest

from mmseg.core.evaluation import get_classes, get_palette
from mmseg.utils.errors import UserError


@pytest.mark.parametrize(
    ("dataset", "count"), [("cityscapes", 19), ("camvid", 11), ("voc", 21), ("ade20k", 150)]
)
def test_every_class_has_a_name_and_a_colour(dataset: str, count: int) -> None:
    classes, palette = get_classes(dataset), get_palette(dataset)
    assert len(classes) == len(set(classes)) == len(palette) == count
    assert all(name and name == name.strip() for name in classes)
    assert all(len(colour) == 3 and min(colour) >= 0 and max(colour) <= 255 for colour in palette)


def test_known_entries() -> None:
    assert get_classes("cityscapes")[:3] == ["road", "sidewalk", "building"]
    assert get_palette("cityscapes")[0] == [128, 64, 128]
    assert get_palette("cityscapes")[18] == [119, 11, 32]
    assert get_classes("camvid")[6] == "sign/symbol"
    assert get_palette("camvid")[4] == [60, 40, 222]
    assert get_classes("voc")[20] == "tvmonitor"
    assert get_palette("voc")[20] == [0, 64, 128]
    assert (get_classes("ade20k")[149], get_palette("ade20k")[149]) == ("flag", [92, 0, 255])
    assert (get_classes("ade20k")[80], get_palette("ade20k")[80]) == ("bus", [255, 0, 245])


def test_voc_palette_is_the_bit_pattern_of_the_index() -> None:
    def colour(index: int) -> list[int]:
        rgb = [0, 0, 0]
        for shift in range(8):
            for channel in range(3):
                rgb[channel] |= (index >> channel & 1) << 7 - shift
            index >>= 3
        return rgb

    assert get_palette("voc") == [colour(i) for i in range(21)]


@pytest.mark.parametrize(
    ("alias", "name"),
    [("kitti", "cityscapes"), ("kitti_seg", "cityscapes"), ("city", "cityscapes"), ("ade", "ade20k")]
    + [(a, "voc") for a in ("pascal_voc", "voc12", "voc12aug")]
    + [("CamVid", "camvid")],
)
def test_aliases(alias: str, name: str) -> None:
    assert get_classes(alias) == get_classes(name)
    assert get_palette(alias) == get_palette(name)


def test_unknown_names_are_told_with_near_matches() -> None:
    with pytest.raises(UserError, match="`cityscape`; did you mean `cityscapes`"):
        get_classes("cityscape")
    with pytest.raises(UserError, match="no class names are known"):
        get_palette("nothing like it")


def test_the_lists_are_the_caller_s_own() -> None:
    get_classes("camvid").append("more")
    get_palette("camvid")[0][0] = 1
    assert len(get_classes("camvid")) == 11
    assert get_palette("camvid")[0] == [128, 128, 128]
