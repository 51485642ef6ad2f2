"""Cars, trucks, buses and trams: boxes with any heading, whose visible sides are drawn in detail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmseg.datasets.toy_scenes.canvas import Colour, Face, Point, Stage, mix
from mmseg.datasets.toy_scenes.colours import GREYS, PAINTS
from mmseg.datasets.toy_scenes.labels import BUS, CAR, TRAIN, TRUCK

TYRE, HUB, GLASS, DARK = (26, 26, 28), (150, 152, 156), (54, 66, 80), (38, 40, 44)
RED_LAMP, WHITE_LAMP, AMBER = (206, 30, 24), (250, 244, 220), (250, 176, 40)


@dataclass(frozen=True)
class Pose:
    """Where a vehicle stands: its middle (x, z) and the direction of its front, a unit vector (x, z)."""

    x: float
    z: float
    heading: Point


def draw_box(
    stage: Stage,
    pose: Pose,
    length: float,
    width: float,
    side: Callable[[Face, bool], None],
    end: Callable[[Face, bool], None],
) -> None:
    """Draw the one or two sides of a box that the camera sees, the farther one first, over its shadow.

    ``side(face, forward)`` draws a long side, ``forward`` where the front is at its right end;
    ``end(face, front)`` draws the front or the rear.
    """
    hx, hz = pose.heading
    shift = stage.bend * pose.z * pose.z / 2
    corners = []
    for s, t in ((-0.56, -0.62), (0.56, -0.62), (0.56, 0.62), (-0.56, 0.62)):
        z = max(1.0, pose.z + s * length * hz - t * width * hx)
        corners.append((pose.x + s * length * hx + t * width * hz, z))
    stage.ground(corners, 0.5)
    visible = []
    for nx, nz, away, wide in (
        (hx, hz, length, width),
        (-hx, -hz, length, width),
        (hz, -hx, width, length),
        (-hz, hx, width, length),
    ):
        cx, cz = pose.x + nx * away / 2, pose.z + nz * away / 2
        if nx * (cx + shift) + nz * cz >= 0:  # it looks away from the camera
            continue
        dx, dz = -nz, nx
        ends = [(cx + k * dx * wide / 2, cz + k * dz * wide / 2) for k in (-1, 1)]
        if min(ends[0][1], ends[1][1]) < 1.5:
            continue
        is_end = away == length
        flag = (nx * hx + nz * hz > 0) if is_end else (dx * hx + dz * hz > 0)
        visible.append((cz, is_end, flag, stage.face(*ends)))
    for _, is_end, flag, face in sorted(visible, key=lambda item: -item[0]):
        (end if is_end else side)(face, flag)


def _measure(length: float, forward: bool) -> Callable[..., list[Point]]:
    """Return what turns points measured from the rear into points of a side's face."""
    return lambda *points: [(u if forward else length - u, v) for u, v in points]


def _wheels(face: Face, positions: list[float], radius: float, label: int) -> None:
    for u in positions:
        face.disc(u, radius, radius * 1.18, DARK, label)
        face.disc(u, radius, radius, TYRE, label)
        face.disc(u, radius, radius * 0.55, HUB, label)


def draw_car(stage: Stage, pose: Pose) -> None:
    """Draw a car some 4.2 m long and 1.5 m tall: body, cabin with two windows, wheels, lamps."""
    dice = stage.dice
    paint = dice.tone(PAINTS) * np.float32(dice.uniform(0.8, 1.1))
    length, width = dice.uniform(3.9, 4.6), 1.85
    roof = dice.uniform(1.45, 1.75)
    boot = dice.uniform(0.1, 0.7)  # a hatchback's or a saloon's tail
    tail, screen = (boot * 0.6 + 0.05, boot + 0.3), (length - 1.05, length - 1.75)  # cabin: foot, roof

    def top(face: Face, at: Callable[[float, float, float], tuple[float, ...]]) -> None:
        """Paint roof, bonnet and boot; ``at`` takes metres from the rear, from a side, and up."""
        for s0, s1, inset, v, tone in (
            (tail[1], screen[1], 0.3, roof, 1.2),
            (screen[0], length, 0.0, 0.92, 1.1),
            (0.0, tail[0], 0.0, 0.94, 1.1),
        ):
            corners = [(s0, inset), (s1, inset), (s1, width - inset), (s0, width - inset)]
            face.poly([at(s, t, v) for s, t in corners], paint * np.float32(tone), CAR)

    def side(face: Face, forward: bool) -> None:
        at = _measure(length, forward)

        def inward(s: float, t: float, v: float) -> tuple[float, ...]:
            return (s if forward else length - s), v, t

        top(face, inward)
        body = [(0.05, 0.3), (length - 0.05, 0.3), (length, 0.7), (length - 0.03, 0.93), (0.02, 0.95)]
        face.poly(at(*body), paint, CAR)
        cabin = [(tail[0], 0.06, 0.93), (screen[0], 0.06, 0.93), (screen[1], 0.3, roof), (tail[1], 0.3, roof)]
        face.poly([inward(*p) for p in cabin], paint * np.float32(1.1), CAR)
        mid = length * 0.47
        for a, b, c in (
            (tail[0] + 0.2, mid - 0.07, tail[1] + 0.15),
            (screen[0] - 0.2, mid + 0.07, screen[1] - 0.1),
        ):
            pane = [(a, 0.08, 0.98), (b, 0.08, 0.98), (b, 0.26, roof - 0.1), (c, 0.26, roof - 0.1)]
            face.poly([inward(*p) for p in pane], GLASS, CAR)
        face.line(*at((mid, 0.4), (mid, 0.95)), 0.05, paint * np.float32(0.6), CAR)
        face.line(*at((0.1, 0.42), (length - 0.1, 0.42)), 0.14, paint * np.float32(0.6), CAR)
        face.poly(at((0.0, 0.66), (0.25, 0.66), (0.25, 0.86), (0.0, 0.86)), RED_LAMP, CAR)
        lamp = [(length - 0.3, 0.64), (length, 0.64), (length, 0.8), (length - 0.3, 0.8)]
        face.poly(at(*lamp), WHITE_LAMP, CAR)
        _wheels(face, [u for u, _ in at((0.85, 0), (length - 0.85, 0))], 0.36, CAR)

    def end(face: Face, front: bool) -> None:
        def inward(s: float, t: float, v: float) -> tuple[float, ...]:
            return t, v, (length - s if front else s)

        top(face, inward)
        foot, crown = screen if front else tail
        for edge, colour in ((0.0, paint), (0.12, GLASS)):
            low, high = 0.08 + edge, 0.3 + edge
            pane = [
                (foot, low, 0.92),
                (foot, width - low, 0.92),
                (crown, width - high, roof),
                (crown, high, roof),
            ]
            face.poly([inward(s, t, v - edge * 0.6 * (v > 1)) for s, t, v in pane], colour, CAR)
        for u in (0.08, width - 0.38):
            face.rect(u, 0, u + 0.3, 0.5, TYRE, CAR)
        face.rect(0.02, 0.26, width - 0.02, 0.92, paint * np.float32(0.95), CAR)
        face.rect(0.02, 0.26, width - 0.02, 0.42, DARK, CAR)
        for u in (0.06, width - 0.46):
            face.rect(u, 0.64, u + 0.4, 0.84, WHITE_LAMP if front else RED_LAMP, CAR)
        face.rect(width / 2 - 0.28, 0.46, width / 2 + 0.28, 0.6, (230, 230, 222), CAR)
        if front:
            face.rect(0.5, 0.66, width - 0.5, 0.82, DARK, CAR)

    draw_box(stage, pose, length, width, side, end)


def draw_truck(stage: Stage, pose: Pose) -> None:
    """Draw a lorry: a windowless ribbed box behind a cab, over an open chassis."""
    dice = stage.dice
    length, width, top = dice.uniform(7.0, 8.5), 2.5, dice.uniform(3.4, 3.8)
    box = dice.tone(PAINTS + GREYS[3:])
    cab = dice.tone(PAINTS)
    sign = dice.tone(PAINTS)

    def side(face: Face, forward: bool) -> None:
        at = _measure(length, forward)

        tail = length - 2.3
        face.poly(at((0.1, 0.55), (length, 0.55), (length, 1.1), (0.1, 1.1)), DARK, TRUCK)
        face.poly(at((0, 1.05), (tail, 1.05), (tail, top), (0, top)), box, TRUCK)
        for i in range(1, 9):
            u = tail * i / 9
            face.line(*at((u, 1.1), (u, top - 0.05)), 0.1, box * np.float32(0.7), TRUCK)
        face.poly(
            at((tail * 0.25, 1.9), (tail * 0.75, 1.9), (tail * 0.75, 2.7), (tail * 0.25, 2.7)), sign, TRUCK
        )
        nose = [(tail, 0.5), (length, 0.5), (length, 1.6), (length - 0.35, 2.75), (tail, 2.75)]
        face.poly(at(*nose), cab, TRUCK)
        pane = [(tail + 0.9, 1.65), (length - 0.15, 1.65), (length - 0.45, 2.5), (tail + 0.9, 2.5)]
        face.poly(at(*pane), GLASS, TRUCK)
        _wheels(face, [u for u, _ in at((1.0, 0), (2.2, 0), (length - 1.1, 0))], 0.52, TRUCK)

    def end(face: Face, front: bool) -> None:
        for u in (0.1, width - 0.6):
            face.rect(u, 0, u + 0.5, 0.9, TYRE, TRUCK)
        face.rect(0.1, 0.45, width - 0.1, 1.1, DARK, TRUCK)
        back = 2.3 if front else 0.0
        panel = [(0, 1.05, back), (width, 1.05, back), (width, top, back), (0, top, back)]
        face.poly(panel, box * np.float32(0.95), TRUCK)
        if front:
            face.rect(0.05, 0.45, width - 0.05, 1.62, cab, TRUCK)
            for edge, low, high, colour in ((0.03, 1.6, 2.75, cab), (0.2, 1.68, 2.5, GLASS)):
                lean = (low - 1.6) * 0.3, (high - 1.6) * 0.3
                pane = [(edge, low, lean[0]), (width - edge, low, lean[0])]
                pane += [(width - edge, high, lean[1]), (edge, high, lean[1])]
                face.poly(pane, colour, TRUCK)
            for v in (0.8, 1.05, 1.3):
                face.rect(0.55, v, width - 0.55, v + 0.12, DARK, TRUCK)
            lamp = WHITE_LAMP
        else:
            face.line((width / 2, 1.1), (width / 2, top), 0.09, box * np.float32(0.5), TRUCK)
            for u in (width * 0.3, width * 0.7):
                face.line((u, 1.15), (u, top - 0.1), 0.07, HUB, TRUCK)
            for v in (1.5, 2.2, 2.9):
                face.line((0.1, v), (width - 0.1, v), 0.06, box * np.float32(0.65), TRUCK)
            for i in range(6):
                bar = (224, 60, 40) if i % 2 else (236, 232, 224)
                face.rect(0.1 + i * 0.383, 0.8, 0.483 + i * 0.383, 1.05, bar, TRUCK)
            lamp = RED_LAMP
        for u in (0.15, width - 0.5):
            face.rect(u, 0.5, u + 0.35, 0.72, lamp, TRUCK)

    draw_box(stage, pose, length, width, side, end)


def draw_bus(stage: Stage, pose: Pose) -> None:
    """Draw a city bus: one long band of windows, doors, a lit destination over the windscreen."""
    dice = stage.dice
    length, width, top = dice.uniform(9.5, 11.5), 2.6, dice.uniform(3.1, 3.4)
    paint = dice.tone(PAINTS)
    second = dice.tone([*PAINTS, (236, 236, 230)])

    def side(face: Face, forward: bool) -> None:
        at = _measure(length, forward)

        face.poly(at((0, 0.3), (length, 0.3), (length, top), (0, top)), paint, BUS)
        face.poly(at((0, 0.75), (length, 0.75), (length, 1.1), (0, 1.1)), second, BUS)
        face.poly(at((0.3, 1.35), (length - 0.05, 1.35), (length - 0.05, 2.7), (0.3, 2.7)), GLASS, BUS)
        face.poly(at((0.4, 2.3), (length - 0.2, 2.3), (length - 0.2, 2.6), (0.4, 2.6)), (96, 112, 128), BUS)
        for i in range(1, 7):
            u = 0.3 + (length - 0.5) * i / 7
            face.line(*at((u, 1.35), (u, 2.7)), 0.1, DARK, BUS)
        for u in (length * 0.42, length - 1.5):
            face.poly(at((u, 0.4), (u + 1.2, 0.4), (u + 1.2, 2.6), (u, 2.6)), (70, 82, 94), BUS)
            face.line(*at((u + 0.6, 0.4), (u + 0.6, 2.6)), 0.09, paint, BUS)
        face.poly(
            at((0, top - 0.3), (length, top - 0.3), (length, top), (0, top)), paint * np.float32(1.2), BUS
        )
        _wheels(face, [u for u, _ in at((2.2, 0), (length - 2.6, 0))], 0.5, BUS)

    def end(face: Face, front: bool) -> None:
        for u in (0.12, width - 0.57):
            face.rect(u, 0, u + 0.45, 0.6, TYRE, BUS)
        face.rect(0, 0.3, width, top, paint * np.float32(0.95), BUS)
        low = 1.0 if front else 1.75
        face.rect(0.15, low, width - 0.15, 2.6, GLASS, BUS)
        face.rect(0.2, 2.2, width - 0.2, 2.5, (96, 112, 128), BUS)
        face.rect(0.35, 2.68, width - 0.35, 3.02, (22, 22, 24), BUS)
        for u in (0.5, 0.9, 1.3, 1.7):
            face.rect(u, 2.74, u + 0.28, 2.96, AMBER, BUS)
        face.rect(0, 0.55, width, 0.8, second, BUS)
        if not front:
            for v in (0.95, 1.15, 1.35):
                face.rect(0.5, v, width - 0.5, v + 0.1, DARK, BUS)
        for u in (0.1, width - 0.5):
            face.rect(u, 0.85 if not front else 0.5, u + 0.4, 1.1 if not front else 0.72, RED_LAMP, BUS)
            if front:
                face.rect(u, 0.5, u + 0.4, 0.72, WHITE_LAMP, BUS)

    draw_box(stage, pose, length, width, side, end)


def draw_train(stage: Stage, pose: Pose) -> None:
    """Draw a tram under its wire: sections joined by bellows, two-tone sides, gear on the roof."""
    dice = stage.dice
    sections, section, width, top = dice.integer(2, 3), 8.0, 2.7, 3.5
    length = sections * section
    upper = mix(dice.pick(PAINTS), (236, 232, 220), 0.6)
    lower = dice.tone(PAINTS)

    def side(face: Face, forward: bool) -> None:
        at = _measure(length, forward)

        def bar(u0: float, v0: float, u1: float, v1: float, colour: Colour) -> None:
            face.poly(at((u0, v0), (u1, v0), (u1, v1), (u0, v1)), colour, TRAIN)

        for i in range(sections):
            u = i * section
            bar(u + 1.2, top, u + 3.2, top + 0.45, HUB)
            bar(u + 4.6, top, u + 6.8, top + 0.35, DARK)
        bar(0, 0.12, length, 0.5, DARK)
        bar(0, 0.45, length, 1.35, lower)
        bar(0, 1.3, length, top, upper)
        bar(0, 1.42, length, 1.56, lower)
        bar(0, top - 0.45, length, top - 0.2, lower)
        for i in range(sections):
            u = i * section
            for j in range(5):
                bar(u + 0.55 + j * 1.45, 1.75, u + 1.55 + j * 1.45, 2.75, GLASS)
            bar(u + 3.3, 0.5, u + 4.7, 2.85, lower * np.float32(0.7))
            for k in (3.42, 4.05):
                bar(u + k, 0.7, u + k + 0.5, 2.7, GLASS)
            bar(u + 7.65, 0.4, u + 8.0, top, DARK)
            for k in (1.4, 6.4):
                for d in (-0.4, 0.4):
                    face.disc(at((u + k + d, 0))[0][0], 0.28, 0.28, TYRE, TRAIN)

    def end(face: Face, front: bool) -> None:
        face.rect(0.1, 0.12, width - 0.1, 0.5, DARK, TRAIN)
        face.rect(0, 0.45, width, top - 0.3, lower * np.float32(0.95), TRAIN)
        face.poly([(0, top - 0.32), (width, top - 0.32), (width - 0.4, top), (0.4, top)], upper, TRAIN)
        face.rect(0, 1.3, width, 1.5, upper, TRAIN)
        face.rect(0.25, 1.55, width - 0.25, 2.75, GLASS, TRAIN)
        face.rect(0.8, 2.82, width - 0.8, 3.1, AMBER if front else DARK, TRAIN)
        for u in (0.3, width - 0.3):
            face.disc(u, 0.95, 0.18, WHITE_LAMP if front else RED_LAMP, TRAIN)

    x, z = pose.x, pose.z
    draw_box(stage, pose, length, width, side, end)
    mast = stage.billboard(x, max(2.0, z - length * 0.2), 2.0)
    mast.line((0.4, top), (1.2, top + 0.7), 0.07, DARK, TRAIN)
    mast.line((1.2, top + 0.7), (0.6, top + 1.3), 0.07, DARK, TRAIN)
    mast.line((0.2, top + 1.3), (1.4, top + 1.3), 0.07, DARK, TRAIN)
