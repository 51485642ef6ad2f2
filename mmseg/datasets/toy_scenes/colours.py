"""The colours that things are drawn in, RGB."""

from __future__ import annotations

# Colours overlap between classes on purpose: grey is road, pavement, building, wall or car; green is a
# tree, a meadow, a painted fence or a bus; blue is sky, sign, glass or paint.
GREYS = [(96, 96, 98), (120, 118, 116), (140, 138, 134), (160, 156, 150), (108, 112, 118), (178, 172, 164)]
WARMS = [(168, 112, 84), (190, 150, 110), (206, 186, 150), (150, 92, 76), (196, 168, 128), (126, 104, 90)]
GREENS = [(58, 92, 44), (76, 110, 50), (92, 124, 62), (48, 78, 46), (104, 120, 58), (120, 128, 70)]
BLUES = [(120, 160, 206), (146, 180, 214), (96, 132, 176), (170, 192, 212)]
PAINTS = [(196, 40, 36), (226, 226, 224), (34, 36, 40), (60, 90, 150), (150, 154, 158), (96, 100, 106)]
PAINTS += [(52, 96, 62), (214, 176, 60), (120, 40, 44), (150, 182, 206), (202, 196, 180), (112, 84, 62)]
