"""Class names and colours of the known data sets; nothing else in the toolbox repeats them.

Names and colours are those that the data sets' own publications use (Cityscapes: Cordts et al. 2016;
CamVid in the 11 classes of SegNet: Badrinarayanan et al. 2017; ADE20K: Zhou et al. 2017; Pascal VOC:
Everingham et al. 2010). KITTI's semantic benchmark uses the Cityscapes classes.
"""

from __future__ import annotations

from mmseg.utils.errors import UserError, near_matches

# Names are separated by commas, colours are RRGGBB: 150 of each stay readable and fit on a screen.
_NAMES = {
    "cityscapes": """
        road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain,
        sky, person, rider, car, truck, bus, train, motorcycle, bicycle""",
    "camvid": """
        sky, building, pole, road, pavement, tree, sign/symbol, fence, car, pedestrian, bicyclist""",
    "voc": """
        background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog,
        horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor""",
    "ade20k": """
        wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk,
        person, earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf,
        house, sea, mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub,
        railing, cushion, base, box, column, signboard, chest of drawers, counter, sand, sink,
        skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
        screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill,
        bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar,
        arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth,
        television receiver, airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman,
        bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything,
        swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food,
        step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket,
        sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate,
        monitor, bulletin board, shower, radiator, glass, clock, flag""",
}
_COLOURS = {
    "cityscapes": """
        804080 F423E8 464646 66669C BE9999 999999 FAAA1E DCDC00 6B8E23 98FB98
        4682B4 DC143C FF0000 00008E 000046 003C64 005064 0000E6 770B20""",
    "camvid": """
        808080 800000 C0C080 804080 3C28DE 808000 C08080 404080 400080 404000 0080C0""",
    "voc": """
        000000 800000 008000 808000 000080 800080 008080 808080 400000 C00000 408000
        C08000 400080 C00080 408080 C08080 004000 804000 00C000 80C000 004080""",
    "ade20k": """
        787878 B47878 06E6E6 503232 04C803 787850 8C8C8C CC05FF E6E6E6 04FA07 E005FF EBFF07 96053D
        787846 08FF33 FF0652 8FFF8C CCFF04 FF3307 CC4603 0066C8 3DE6FA FF0633 0B66FF FF0747 FF09E0
        0907E6 DCDCDC FF095C 7009FF 08FFD6 07FFE0 FFB806 0AFF47 FF290A 07FFFF E0FF08 6608FF FF3D06
        FFC207 FF7A08 00FF14 FF0829 FF0599 0633FF EB0CFF A09614 00A3FF 8C8C8C FA0A0F 14FF00 1FFF00
        FF1F00 FFE000 99FF00 0000FF FF4700 00EBFF 00ADFF 1F00FF 0BC8C8 FF5200 00FFF5 003DFF 00FF70
        00FF85 FF0000 FFA300 FF6600 C2FF00 008FFF 33FF00 0052FF 00FF29 00FFAD 0A00FF ADFF00 00FF99
        FF5C00 FF00FF FF00F5 FF0066 FFAD00 FF0014 FFB8B8 001FFF 00FF3D 0047FF FF00CC 00FFC2 00FF52
        000AFF 0070FF 3300FF 00C2FF 007AFF 00FFA3 FF9900 00FF0A FF7000 8FFF00 5200FF A3FF00 FFEB00
        08B8AA 8500FF 00FF5C B800FF FF001F 00B8FF 00D6FF FF0070 5CFF00 00E0FF 70E0FF 46B8A0 A300FF
        9900FF 47FF00 FF00A3 FFCC00 FF008F 00FFEB 85FF00 FF00EB F500FF FF007A FFF500 0ABED4 D6FF00
        00CCFF 1400FF FFFF00 0099FF 0029FF 00FFCC 2900FF 29FF00 AD00FF 00F5FF 4700FF 7A00FF 00FFB8
        005CFF B8FF00 0085FF FFD600 19C2C2 66FF00 5C00FF""",
}
_ALIASES = {
    "cityscapes": ("city", "kitti", "kitti_seg"),
    "camvid": (),
    "voc": ("pascal_voc", "voc12", "voc12aug"),
    "ade20k": ("ade",),
}
_CANONICAL = {alias: name for name, aliases in _ALIASES.items() for alias in (name, *aliases)}


def get_classes(dataset: str) -> list[str]:
    """Return the class names of ``dataset`` in the order of its label values.

    Args:
        dataset: ``cityscapes``, ``camvid``, ``voc``, ``ade20k`` or an alias of one (``kitti``, ``ade``, ...).

    Raises:
        UserError: the data set is not known.
    """
    return [name.strip() for name in _NAMES[_canonical(dataset)].split(",")]


def get_palette(dataset: str) -> list[list[int]]:
    """Return one ``[R, G, B]`` (0 to 255) per class of ``dataset``, in the order of :func:`get_classes`.

    Raises:
        UserError: the data set is not known.
    """
    return [list(bytes.fromhex(colour)) for colour in _COLOURS[_canonical(dataset)].split()]


def _canonical(dataset: str) -> str:
    name = _CANONICAL.get(dataset.lower()) if isinstance(dataset, str) else None
    if name is None:
        raise UserError(
            f"no class names are known for the data set `{dataset}`{near_matches(dataset, _CANONICAL)}"
            f" (known: {', '.join(sorted(_CANONICAL))})"
        )
    return name
