"""What stands along the kerb: lamp posts, traffic lights, traffic signs."""

from __future__ import annotations

import numpy as np

from mmseg.datasets.toy_scenes.canvas import Face, Stage
from mmseg.datasets.toy_scenes.colours import GREENS, GREYS
from mmseg.datasets.toy_scenes.labels import POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN

RED, BLUE, WHITE, YELLOW, BLACK = (200, 34, 32), (36, 84, 172), (236, 236, 232), (238, 196, 50), (24, 24, 26)


def _post(stage: Stage, x: float, z: float, height: float, width: float) -> Face:
    """Draw an upright post; its middle is u = 2 on the 4 m wide face that is returned."""
    metal = stage.dice.tone([*GREYS, (60, 62, 64), GREENS[3]])
    face = stage.billboard(x, z, 4.0)
    left, right = (0.85, 1.2) if stage.sun > 0 else (1.2, 0.85)
    face.rect(2 - width / 2, 0, 2 + width / 2, height, metal * np.float32(left), POLE)
    face.rect(2, 0, 2 + width / 2, height, metal * np.float32(right), None)
    return face


def draw_lamp_post(stage: Stage, x: float, z: float) -> None:
    """Draw a lamp post, its arm over the road."""
    dice = stage.dice
    height = dice.uniform(5.0, 7.0)
    face = _post(stage, x, z, height, dice.uniform(0.26, 0.36))
    reach = 1.6 if x < 0 else -1.6
    metal = (96, 98, 100)
    face.line((2, height - 0.1), (2 + reach, height + 0.2), 0.2, metal, POLE)
    face.line((2 + reach * 0.8, height + 0.15), (2 + reach * 1.2, height + 0.15), 0.28, (228, 222, 200), POLE)


def draw_traffic_light(stage: Stage, x: float, z: float) -> None:
    """Draw a traffic light: a dark head with three lamps, one of them lit."""
    dice = stage.dice
    face = _post(stage, x, z, 3.4, 0.26)
    low = dice.uniform(2.0, 2.4)
    face.rect(1.58, low - 0.08, 2.42, low + 1.83, dice.pick([WHITE, YELLOW, (90, 92, 94)]), TRAFFIC_LIGHT)
    face.rect(1.66, low, 2.34, low + 1.75, BLACK, TRAFFIC_LIGHT)
    lit = dice.integer(0, 2)
    for i, (on, off) in enumerate(
        (((70, 240, 130), (24, 56, 36)), ((255, 190, 50), (70, 54, 20)), ((255, 56, 40), (70, 22, 20)))
    ):
        face.disc(2, low + 0.32 + i * 0.56, 0.25, on if i == lit else off, TRAFFIC_LIGHT)


def draw_traffic_sign(stage: Stage, x: float, z: float) -> None:
    """Draw a traffic sign on its post: a disc, a triangle, a diamond, a board."""
    dice = stage.dice
    low = dice.uniform(1.7, 2.2)
    face = _post(stage, x, z, low + 1.0, 0.2)
    kind, mid, size = dice.integer(0, 5), low + 0.6, 0.62
    if kind == 0:  # no more than ...
        face.disc(2, mid, size, RED, TRAFFIC_SIGN)
        face.disc(2, mid, size * 0.7, WHITE, TRAFFIC_SIGN)
        face.rect(1.7, mid - 0.22, 1.92, mid + 0.22, BLACK, TRAFFIC_SIGN)
        face.rect(2.05, mid - 0.22, 2.3, mid + 0.22, BLACK, TRAFFIC_SIGN)
    elif kind == 1:  # straight on
        face.disc(2, mid, size, BLUE, TRAFFIC_SIGN)
        face.line((2, mid - 0.4), (2, mid + 0.15), 0.18, WHITE, TRAFFIC_SIGN)
        face.poly([(1.7, mid + 0.05), (2.3, mid + 0.05), (2, mid + 0.45)], WHITE, TRAFFIC_SIGN)
    elif kind == 2:  # danger
        face.poly([(1.3, low), (2.7, low), (2, low + 1.25)], RED, TRAFFIC_SIGN)
        face.poly([(1.6, low + 0.17), (2.4, low + 0.17), (2, low + 0.9)], WHITE, TRAFFIC_SIGN)
        face.rect(1.93, low + 0.22, 2.07, low + 0.65, BLACK, TRAFFIC_SIGN)
    elif kind == 3:  # priority road
        face.poly([(1.3, mid), (2, mid - 0.7), (2.7, mid), (2, mid + 0.7)], WHITE, TRAFFIC_SIGN)
        face.poly([(1.5, mid), (2, mid - 0.5), (2.5, mid), (2, mid + 0.5)], YELLOW, TRAFFIC_SIGN)
    elif kind == 4:  # parking, or a crossing
        face.rect(1.4, low, 2.6, low + 1.2, WHITE, TRAFFIC_SIGN)
        face.rect(1.47, low + 0.07, 2.53, low + 1.13, BLUE, TRAFFIC_SIGN)
        face.rect(1.8, low + 0.2, 1.97, low + 1.0, WHITE, TRAFFIC_SIGN)
        face.rect(1.97, low + 0.55, 2.28, low + 1.0, WHITE, TRAFFIC_SIGN)
    else:  # stop
        face.disc(2, mid, size * 1.05, WHITE, TRAFFIC_SIGN)
        face.disc(2, mid, size * 0.95, RED, TRAFFIC_SIGN)
        face.rect(1.6, mid - 0.13, 2.4, mid + 0.13, WHITE, TRAFFIC_SIGN)
