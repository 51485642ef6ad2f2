"""One street scene, from its key to a picture and a label map."""

from __future__ import annotations

import numpy as np

from mmseg.datasets.toy_scenes import street
from mmseg.datasets.toy_scenes.canvas import Canvas, Dice, Stage, mix
from mmseg.datasets.toy_scenes.colours import BLUES, GREYS
from mmseg.datasets.toy_scenes.develop import develop
from mmseg.datasets.toy_scenes.placing import Street, fill_the_street, line_the_street
from mmseg.datasets.toy_scenes.street import Lanes


def draw_scene(key: tuple[int, ...], index: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the scene that ``key`` determines.

    Args:
        key: Non-negative integers, such as (seed, split, index): every draw follows from them.
        index: Number of the scene in its data set; what is featured takes turns with it, so that a few
            scenes in a row hold every class.
        width, height: Size in pixels. Everything scales with the height.

    Returns:
        The picture, (height, width, 3) uint8 RGB, and its train ids, (height, width) uint8.
    """
    dice = Dice(*key)
    evening = dice.chance(0.2)
    zenith = dice.tone([*BLUES[:3], *BLUES[:3], *GREYS[3:5]])
    low = mix(zenith, (236, 214, 190) if evening else (226, 230, 232), dice.uniform(0.4, 0.8))
    cloud = mix((240, 240, 238), low, dice.uniform(0, 0.5))
    stage = Stage(
        Canvas(width, height),
        dice,
        horizon=height * dice.uniform(0.36, 0.46),
        focal=height * dice.uniform(1.75, 2.05),
        eye=dice.uniform(1.7, 2.2),
        centre=width * dice.uniform(0.45, 0.55),
        bend=dice.uniform(-0.006, 0.006),
        sun=dice.pick([-1, -1, 0, 1, 1]),
        haze=low,
        fade=dice.uniform(150, 400),
    )
    lanes = _lay_out(dice, tramway=index % 3 == 2 or dice.chance(0.05))
    street.draw_sky(stage, zenith, low, cloud, cover=dice.uniform(0.1, 0.75))
    street.draw_skyline(stage)
    street.draw_ground(stage, lanes)
    scene = Street(stage, lanes, view=width / 2 / stage.focal)
    line_the_street(scene, index)
    fill_the_street(scene, index)
    scene.draw_items()
    return develop(stage, evening), stage.canvas.label


def _lay_out(dice: Dice, tramway: bool) -> Lanes:
    """Draw the widths of road, pavements and verges; traffic keeps to the right, the camera with it."""
    axis, half = -dice.uniform(1.2, 2.4), dice.uniform(4.0, 5.4)
    left_kerb, right_kerb = axis - half, axis + half
    left_pavement, right_pavement = left_kerb - dice.uniform(2.0, 3.4), right_kerb + dice.uniform(2.0, 3.4)
    left = left_pavement - (dice.uniform(2.0, 5.0) if dice.chance(0.8) else 0)
    right = right_pavement + (dice.uniform(2.0, 5.0) if dice.chance(0.8) else 0)
    track = None
    if tramway and dice.chance(0.35):
        track, left = left_pavement - 1.8, min(left, left_pavement - 4.0)
    elif tramway:
        track, right = right_pavement + 1.8, max(right, right_pavement + 4.0)
    return Lanes(left, left_pavement, left_kerb, right_kerb, right_pavement, right, track)
