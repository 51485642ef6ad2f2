"""People on foot, and people on bicycles and motorcycles."""

from __future__ import annotations

import numpy as np

from mmseg.datasets.toy_scenes.canvas import CIRCLE, Face, Point, Stage
from mmseg.datasets.toy_scenes.colours import BLUES, GREENS, GREYS, PAINTS, WARMS
from mmseg.datasets.toy_scenes.labels import BICYCLE, MOTORCYCLE, PERSON, RIDER

SKIN = [(224, 180, 150), (196, 144, 112), (138, 94, 70), (96, 66, 52)]
HAIR = [(40, 30, 24), (86, 60, 38), (176, 140, 80), (150, 146, 140), (22, 20, 20)]
CLOTH = PAINTS + GREENS[:3] + BLUES + GREYS[:3] + WARMS[:3]
YAWS = [(1.0, 0.0), (0.94, 0.34), (0.94, -0.34), (0.77, 0.64), (0.77, -0.64)]


def draw_person(stage: Stage, x: float, z: float) -> None:
    """Draw somebody on foot, 1.2 m (a child) to 1.9 m tall, seen from the front, the back or the side."""
    dice = stage.dice
    size = dice.uniform(0.75, 0.85) if dice.chance(0.15) else dice.uniform(1.02, 1.15)
    face = stage.billboard(x, z, 1.0)
    stage.ground(
        [(x - 0.35, z - 0.15), (x + 0.35, z - 0.15), (x + 0.35, z + 0.25), (x - 0.35, z + 0.25)], 0.6
    )
    coat, legs = (dice.tone(CLOTH) for _ in range(2))
    skin, hair = dice.pick(SKIN), dice.pick(HAIR)
    stride, swing = dice.uniform(0.08, 0.32), dice.uniform(0.24, 0.4)

    def at(u: float, v: float) -> Point:
        return 0.5 + u * size, v * size

    for sign, tone in ((-1, 0.85), (1, 1.0)):
        foot = at(sign * stride, 0.06)
        face.line(at(sign * 0.09, 0.9), foot, 0.21 * size, legs * np.float32(tone), PERSON)
        face.line((foot[0] - 0.08, foot[1]), (foot[0] + 0.1, foot[1]), 0.12 * size, HAIR[0], PERSON)
    if dice.chance(0.25):  # a skirt or a long coat
        face.poly(
            [at(-0.3, 0.5), at(0.3, 0.5), at(0.18, 1.0), at(-0.18, 1.0)], coat * np.float32(0.9), PERSON
        )
    face.poly(
        [at(-0.2, 0.82), at(0.2, 0.82), at(0.27, 1.42), at(0.12, 1.54), at(-0.12, 1.54), at(-0.27, 1.42)],
        coat,
        PERSON,
    )
    for sign in (-1, 1):
        hand = at(sign * swing, 0.88)
        face.line(at(sign * 0.24, 1.42), hand, 0.14 * size, coat * np.float32(0.78), PERSON)
        face.disc(*hand, 0.07 * size, skin, PERSON)
    face.disc(*at(0, 1.7), 0.165 * size, hair, PERSON)
    face.disc(*at(0.0, 1.65), 0.125 * size, skin if dice.chance(0.7) else hair, PERSON)
    if dice.chance(0.3):  # a bag
        face.rect(*at(0.2, 0.6), *at(0.45, 0.92), dice.pick(PAINTS), PERSON)


def _two_wheeler_face(stage: Stage, x: float, z: float, length: float) -> tuple[Face, bool]:
    dx, dz = stage.dice.pick(YAWS)
    half = length / 2
    face = stage.face((x - dx * half, z - dz * half), (x + dx * half, z + dz * half), 1.0)
    depth = 0.2
    stage.ground(
        [(x - half, z - depth), (x + half, z - depth), (x + half, z + depth), (x - half, z + depth)], 0.65
    )
    return face, stage.dice.chance(0.5)


def draw_bicycle(stage: Stage, x: float, z: float, ridden: bool) -> None:
    """Draw a bicycle of 2 m by 1.1 m, side on or turned, with somebody on it where ``ridden``."""
    dice = stage.dice
    length, radius = 2.1, 0.42
    face, forward = _two_wheeler_face(stage, x, z, length)
    paint = dice.tone(PAINTS)
    tyre = np.asarray((30, 30, 32), np.float32)

    def at(u: float, v: float) -> Point:
        return (u if forward else length - u), v

    rear, fore, pedal = at(radius, radius), at(length - radius, radius), at(0.95, 0.4)
    saddle, head = at(0.72, 1.05), at(1.5, 1.12)
    face.poly([rear, fore, head, saddle], (90, 90, 92), BICYCLE, 0.15)
    for hub in (rear, fore):
        face.disc(*hub, radius * 1.06, (110, 110, 112), BICYCLE, 0.35)
        rim = [(hub[0] + radius * cx, hub[1] + radius * cy) for cx, cy in CIRCLE]
        for p, q in zip(rim, [*rim[1:], rim[0]], strict=True):
            face.line(p, q, 0.09, tyre, BICYCLE)
        for cx, cy in CIRCLE[:6]:
            spoke = (hub[0] - radius * cx, hub[1] - radius * cy), (hub[0] + radius * cx, hub[1] + radius * cy)
            face.line(*spoke, 0.02, (190, 190, 190), None, 0.6)
    for p, q in ((rear, pedal), (rear, saddle), (pedal, saddle), (pedal, head), (saddle, head), (head, fore)):
        face.line(p, q, 0.09, paint, BICYCLE)
    face.line(at(0.55, 1.1), at(0.9, 1.1), 0.1, tyre, BICYCLE)
    face.line(at(1.4, 1.22), at(1.68, 1.28), 0.08, tyre, BICYCLE)
    if ridden:
        _draw_rider(face, at, hip=(0.75, 1.2), hand=(1.55, 1.28), foot=(1.0, 0.32), lean=0.32)


def draw_motorcycle(stage: Stage, x: float, z: float, ridden: bool) -> None:
    """Draw a motorcycle of 2.2 m by 1.2 m: fat tyres, engine, tank; with somebody on it where ``ridden``."""
    dice = stage.dice
    length, radius = 2.3, 0.38
    face, forward = _two_wheeler_face(stage, x, z, length)
    paint = dice.tone(PAINTS)

    def at(u: float, v: float) -> Point:
        return (u if forward else length - u), v

    face.poly([at(0.4, 0.45), at(1.8, 0.4), at(1.75, 0.85), at(0.4, 0.85)], (70, 72, 76), MOTORCYCLE)
    for u in (radius, length - radius):
        face.disc(*at(u, radius), radius, (24, 24, 26), MOTORCYCLE)
        face.disc(*at(u, radius), radius * 0.5, (140, 142, 146), MOTORCYCLE)
        face.disc(*at(u, radius), radius * 0.18, (30, 30, 30), MOTORCYCLE)
    face.disc(*at(1.1, 0.5), 0.27, (150, 150, 154), MOTORCYCLE)
    face.line(at(0.15, 0.36), at(1.1, 0.32), 0.13, (196, 196, 200), MOTORCYCLE)
    face.poly([at(0.05, 0.86), at(0.95, 0.8), at(0.95, 0.98), at(0.05, 1.06)], (28, 28, 30), MOTORCYCLE)
    face.poly([at(0.85, 0.76), at(1.55, 0.76), at(1.6, 1.08), at(1.0, 1.1)], paint, MOTORCYCLE)
    face.poly([at(0.0, 0.74), at(0.6, 0.74), at(0.5, 0.94), at(0.0, 0.98)], paint, MOTORCYCLE)
    face.poly(
        [at(1.5, 0.75), at(1.85, 0.7), at(2.0, 1.1), at(1.65, 1.35)], paint * np.float32(0.8), MOTORCYCLE
    )
    face.line(at(length - radius, radius), at(1.7, 1.15), 0.11, (170, 170, 174), MOTORCYCLE)
    face.line(at(1.5, 1.28), at(1.8, 1.22), 0.09, (24, 24, 26), MOTORCYCLE)
    face.disc(*at(1.95, 0.98), 0.13, (248, 240, 210), MOTORCYCLE)
    face.disc(*at(0.02, 0.9), 0.09, (206, 30, 24), MOTORCYCLE)
    if ridden:
        _draw_rider(face, at, hip=(0.72, 1.1), hand=(1.55, 1.26), foot=(1.2, 0.36), lean=0.22)


def _draw_rider(face: Face, at, *, hip: Point, hand: Point, foot: Point, lean: float) -> None:
    """Draw a person who sits: a bent leg, a back that leans forward, arms to the bar, a helmet."""
    dice = face.stage.dice
    coat, legs = (dice.tone(CLOTH) for _ in range(2))
    helmet = dice.pick(PAINTS)
    shoulder = (hip[0] + lean, hip[1] + 0.62)
    knee = (hip[0] + 0.5, hip[1] - 0.28)
    face.line(at(*hip), at(*knee), 0.24, legs, RIDER)
    face.line(at(*knee), at(*foot), 0.2, legs * np.float32(0.9), RIDER)
    face.line(at(*foot), at(foot[0] + 0.18, foot[1]), 0.12, HAIR[0], RIDER)
    back = [(hip[0] - 0.22, hip[1] - 0.06), (hip[0] + 0.2, hip[1] - 0.06)]
    back += [(shoulder[0] + 0.2, shoulder[1]), (shoulder[0] - 0.14, shoulder[1] + 0.08)]
    face.poly([at(*p) for p in back], coat, RIDER)
    face.line(at(*shoulder), at(*hand), 0.16, coat * np.float32(0.8), RIDER)
    top = (shoulder[0] + 0.1, shoulder[1] + 0.24)
    face.disc(*at(*top), 0.18, dice.pick(SKIN), RIDER)
    face.poly(
        [
            at(top[0] - 0.2, top[1]),
            at(top[0] + 0.2, top[1] + 0.04),
            at(top[0] + 0.13, top[1] + 0.2),
            at(top[0] - 0.13, top[1] + 0.2),
        ],
        helmet,
        RIDER,
    )
