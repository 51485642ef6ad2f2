"""The stage itself: sky, skyline, the ground in perspective, and what lines the street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmseg.datasets.toy_scenes.canvas import Face, Stage, band, mix, value_noise
from mmseg.datasets.toy_scenes.colours import BLUES, GREENS, GREYS, PAINTS, WARMS
from mmseg.datasets.toy_scenes.labels import (
    BUILDING,
    FENCE,
    ROAD,
    SIDEWALK,
    SKY,
    TERRAIN,
    UNLABELLED,
    VEGETATION,
    WALL,
)


@dataclass(frozen=True)
class Lanes:
    """Lateral layout in metres, from left to right: verge, pavement, kerb, road, kerb, pavement, verge.

    ``left`` and ``right`` are the lines where facades begin; ``track`` is the axis of a tramway or None.
    """

    left: float
    left_pavement: float
    left_kerb: float
    right_kerb: float
    right_pavement: float
    right: float
    track: float | None


def draw_sky(stage: Stage, top: np.ndarray, bottom: np.ndarray, cloud: np.ndarray, cover: float) -> None:
    """Fill the canvas above the horizon: a gradient from ``top`` to ``bottom`` with soft clouds.

    ``cover`` is the share of cloud, 0 to 1.
    """
    canvas, dice, unit = stage.canvas, stage.dice, stage.canvas.height / 128
    rows = min(canvas.height, int(stage.horizon) + 2)
    share = np.clip(canvas.y[:rows] / np.float32(stage.horizon), 0, 1)
    sky = mix(top, bottom, np.broadcast_to(share, (rows, canvas.width)))
    noise = 0.6 * value_noise(dice, rows, canvas.width, 13 * unit, 55 * unit)
    noise += 0.4 * value_noise(dice, rows, canvas.width, 5 * unit, 17 * unit)
    clouds = np.clip((noise - np.float32(1 - cover)) * 5 + np.float32(0.5), 0, 1) * np.float32(0.85)
    shade = 0.86 + 0.2 * value_noise(dice, rows, canvas.width, 8 * unit, 30 * unit)
    canvas.image[:rows] = mix(sky, cloud * shade[..., None], clouds)
    canvas.label[:rows] = SKY


def draw_skyline(stage: Stage) -> None:
    """Draw what stands far away: a line of trees, houses or hills along the horizon."""
    canvas, dice, unit = stage.canvas, stage.dice, stage.canvas.height / 128
    column = -10 * unit
    while column < canvas.width:
        wide = dice.uniform(18, 46) * unit
        if dice.chance(0.5):
            tall = dice.uniform(6, 18) * unit
            corners = [(column, stage.horizon + unit), (column + wide, stage.horizon + unit)]
            corners += [(column + wide, stage.horizon - tall), (column, stage.horizon - tall)]
            colour = stage.tint(dice.pick(GREYS + WARMS), 50)
            canvas.paint(canvas.polygon(corners), colour, BUILDING)
        else:
            tall = dice.uniform(5, 11) * unit
            shape = canvas.ellipse(column + wide / 2, stage.horizon, wide * 0.7, tall)
            canvas.paint(shape, stage.tint(dice.pick(GREENS), 45), VEGETATION)
        column += wide * dice.uniform(0.7, 1.0)


def draw_ground(stage: Stage, lanes: Lanes) -> None:
    """Paint everything below the horizon, pixel by pixel: road with markings, pavements, verges, tracks."""
    canvas, dice = stage.canvas, stage.dice
    top = max(0, int(stage.horizon) + 1)
    y = canvas.y[top:]
    z = np.float32(stage.focal * stage.eye) / np.maximum(y - np.float32(stage.horizon), np.float32(0.3))
    x = (canvas.x - np.float32(stage.centre)) * (z / np.float32(stage.focal)) - np.float32(
        stage.bend / 2
    ) * z * z
    soft = np.maximum(z / np.float32(stage.focal), np.float32(0.01))  # a pixel's width in metres
    depth = np.maximum(z * soft / np.float32(stage.eye), np.float32(0.02))  # and its length along the road

    grass = mix(dice.pick(GREENS + [(150, 132, 92), (134, 124, 84)]), (116, 118, 70), dice.uniform(0.2, 0.6))
    colour = np.empty((*x.shape, 3), np.float32)
    colour[:] = grass
    tufts = value_noise(dice, *x.shape, 2.2 * canvas.height / 128, 5 * canvas.height / 128)
    colour *= (0.78 + 0.44 * tufts)[..., None]
    label = np.full(x.shape, TERRAIN, np.uint8)

    def lay(cover: np.ndarray, paint: np.ndarray, train_id: int | None) -> None:
        colour[...] += (paint - colour) * cover[..., None]
        if train_id is not None:
            label[cover >= 0.5] = train_id

    stone = mix(dice.pick(GREYS), dice.pick(WARMS), dice.uniform(0.0, 0.35))
    slab = dice.uniform(0.9, 1.5)
    joints = np.maximum(_line(x, slab, 0.09, soft), _line(z + x * 0, slab, 0.09, depth))
    pavement = mix(stone, stone * 0.62, joints)
    for edge, kerb in ((lanes.left_pavement, lanes.left_kerb), (lanes.right_kerb, lanes.right_pavement)):
        lay(band(x, edge, kerb, soft), pavement, SIDEWALK)

    asphalt = mix(dice.pick(GREYS[:3] + [(82, 82, 88)]), dice.pick(WARMS), dice.uniform(0, 0.15))
    middle = (lanes.left_kerb + lanes.right_kerb) / 2
    road = np.empty_like(colour)
    road[:] = asphalt
    wheel = _line(x - middle + 0.9, 1.7, 0.5, soft) * np.float32(0.10)  # darker where the tyres run
    road *= (1 - wheel)[..., None]
    patch_x, patch_z = dice.uniform(lanes.left_kerb, lanes.right_kerb), dice.uniform(6, 16)
    patch = band(x, patch_x - 1.2, patch_x + 1.2, soft) * band(z, patch_z, patch_z + 4, depth)
    road *= (1 - patch * np.float32(dice.uniform(-0.1, 0.25)))[..., None]
    lay(band(x, lanes.left_kerb, lanes.right_kerb, soft), road, ROAD)

    white = dice.tone([(226, 226, 220), (214, 212, 204), (224, 206, 130)])
    period = dice.uniform(5, 8)
    phase = dice.uniform(0, period)
    dashes = np.clip((np.abs((z + phase) % period - period / 2) - period / 4) / depth + 0.5, 0, 1)
    lay(band(x, middle - 0.09, middle + 0.09, soft) * dashes * np.float32(0.9), white, None)
    for kerb, sign in ((lanes.left_kerb, 1), (lanes.right_kerb, -1)):
        at = kerb + sign * 0.35
        lay(band(x, at - 0.07, at + 0.07, soft) * np.float32(0.75), white, None)
        lay(band(x, kerb - 0.12, kerb + 0.12, soft), stone * np.float32(1.25), None)
    if dice.chance(0.35):  # a zebra crossing
        near = dice.uniform(6, 13)
        bars = band((x - lanes.left_kerb) % 1.1, 0.25, 0.8, soft) * band(z, near, near + 3, depth)
        lay(bars * band(x, lanes.left_kerb + 0.3, lanes.right_kerb - 0.3, soft), white, None)

    if lanes.track is not None:
        gravel = mix(dice.pick(GREYS + WARMS[-1:]), grass, dice.uniform(0, 0.4))
        lay(band(x, lanes.track - 1.6, lanes.track + 1.6, soft), gravel * np.float32(0.85), UNLABELLED)
        sleepers = band(x, lanes.track - 1.2, lanes.track + 1.2, soft) * _line(z + x * 0, 0.9, 0.35, depth)
        lay(sleepers * np.float32(0.6), gravel * np.float32(0.55), None)
        for rail in (lanes.track - 0.75, lanes.track + 0.75):
            lay(band(x, rail - 0.08, rail + 0.08, soft), np.asarray((172, 168, 164), np.float32), None)

    fog = z / (z + np.float32(stage.fade))
    canvas.image[top:] = colour + (np.asarray(stage.haze, np.float32) - colour) * fog[..., None]
    canvas.label[top:] = label


def _line(t: np.ndarray, period: float, width: float, soft: np.ndarray | float) -> np.ndarray:
    """Return parallel lines ``width`` wide, one per ``period``; they grey out where a pixel is too big."""
    distance = np.abs(t % np.float32(period) - np.float32(period / 2))
    contrast = np.clip(np.float32(period * 0.6) / soft - np.float32(0.5), 0, 1)
    return np.clip((np.float32(width / 2) - distance) / soft + np.float32(0.5), 0, 1) * contrast


def draw_building(face: Face, height: float) -> None:
    """Draw a facade ``height`` metres tall: rows of windows, a ground floor, a cornice."""
    dice = face.stage.dice
    stone = dice.tone(GREYS + WARMS + GREENS[-1:] + BLUES[-1:])
    glass = mix(dice.pick([(52, 60, 72), (70, 84, 100), (96, 116, 138), (40, 42, 46)]), (210, 190, 130), 0.1)
    frame = stone * np.float32(dice.pick([0.7, 1.25, 1.35]))
    storey, bay = dice.uniform(2.7, 3.3), dice.uniform(2.0, 3.0)
    wide, tall = dice.uniform(0.45, 0.62), dice.uniform(0.45, 0.62)
    lit = dice.array(16, 16) * np.float32(0.7) + np.float32(0.6)
    shop = mix(dice.pick(PAINTS), stone, 0.4)

    def shader(u: np.ndarray, v: np.ndarray, soft_u: np.ndarray, soft_v: np.ndarray) -> np.ndarray:
        across, up = u % np.float32(bay) / np.float32(bay), v % np.float32(storey) / np.float32(storey)
        blur_u, blur_v = soft_u / np.float32(bay), soft_v / np.float32(storey)
        above = (v > storey) & (v < height - 0.7)
        hole = (
            band(across, 0.5 - wide / 2, 0.5 + wide / 2, blur_u) * band(up, 0.9 - tall, 0.9, blur_v) * above
        )
        rim = (
            band(across, 0.44 - wide / 2, 0.56 + wide / 2, blur_u)
            * band(up, 0.84 - tall, 0.95, blur_v)
            * above
        )
        pane = lit[(v / storey).astype(np.int64) % 16, (u / bay).astype(np.int64) % 16]
        colour = mix(mix(np.broadcast_to(stone, (*u.shape, 3)), frame, rim), glass * pane[..., None], hole)
        door = band(across, 0.08, 0.92, blur_u) * band(v, 0.3, storey * 0.78, soft_v)
        colour = mix(mix(colour, shop, band(v, 0.0, storey, soft_v)), glass * np.float32(0.8), door)
        cornice = band(v, height - 0.5, height + 1, soft_v) + 0.6 * band(
            v, storey - 0.15, storey + 0.1, soft_v
        )
        return mix(colour, frame, np.clip(cornice, 0, 1))

    face.surface(height, BUILDING, shader)


def draw_wall(face: Face, height: float) -> None:
    """Draw a free-standing wall: courses of big blocks under a coping, no openings."""
    dice = face.stage.dice
    stone = dice.tone(GREYS + WARMS)
    course, block = dice.uniform(0.55, 0.75), dice.uniform(1.2, 1.8)
    tone = dice.array(16, 16) * np.float32(0.5) + np.float32(0.75)

    def shader(u: np.ndarray, v: np.ndarray, soft_u: np.ndarray, soft_v: np.ndarray) -> np.ndarray:
        row = np.floor(v / np.float32(course))
        shifted = u + row % 2 * np.float32(block / 2)
        blocks = tone[row.astype(np.int64) % 16, (shifted / block).astype(np.int64) % 16]
        joint = np.maximum(_line(v, course, 0.12, soft_v), _line(shifted, block, 0.12, soft_u))
        colour = mix(stone * blocks[..., None], stone * np.float32(0.5), joint * np.float32(0.8))
        return mix(colour, stone * np.float32(1.3), band(v, height - 0.3, height + 1, soft_v))

    face.surface(height, WALL, shader)


def draw_fence(face: Face, height: float) -> None:
    """Draw a fence: upright slats between two rails; what stands behind shines through the gaps."""
    dice = face.stage.dice
    paint = dice.tone([*GREYS, (226, 226, 222), (60, 60, 62), GREENS[0], WARMS[0], WARMS[5]])
    pitch = dice.uniform(0.6, 0.85)
    gap = mix(dice.pick(GREENS + GREYS), (40, 40, 40), dice.uniform(0.5, 0.85))

    def shader(u: np.ndarray, v: np.ndarray, soft_u: np.ndarray, soft_v: np.ndarray) -> np.ndarray:
        slats = _line(u, pitch, pitch * 0.45, soft_u)
        rails = band(v, 0.25, 0.45, soft_v) + band(v, height - 0.35, height - 0.15, soft_v)
        posts = _line(u, 3.0, 0.22, soft_u)
        solid = np.clip(slats + rails + posts, 0, 1)
        return mix(np.broadcast_to(gap, (*u.shape, 3)), paint, solid)

    face.surface(height, FENCE, shader)


def draw_tree(stage: Stage, x: float, z: float, size: float) -> None:
    """Draw a tree ``size`` metres tall: a trunk and a crown of leafy clumps."""
    dice = stage.dice
    leaf = mix(dice.pick(GREENS), dice.pick([*GREENS, (160, 130, 50), (150, 90, 50)]), dice.uniform(0, 0.5))
    face = stage.billboard(x, z, size * 0.07 + 0.1)
    face.rect(0, 0, face.length, size * 0.5, (84, 70, 56), VEGETATION)
    scale = stage.focal / z
    for _ in range(9):
        dx, dy = dice.uniform(-0.26, 0.26) * size, dice.uniform(0.45, 0.88) * size
        _clump(stage, stage.project(x + dx, dy, z), dice.uniform(0.13, 0.22) * size * scale, leaf, z, dx)


def draw_hedge(face: Face, height: float) -> None:
    """Draw a hedge: a leafy face with a lumpy top."""
    stage, dice = face.stage, face.stage.dice
    leaf = dice.tone(GREENS)
    face.rect(0, 0, face.length, height * 0.9, leaf * np.float32(0.8), VEGETATION)
    steps = max(3, int(face.length / 1.1))
    for i in range(steps):
        u = (i + dice.uniform(0.2, 0.8)) / steps * face.length
        z = max(1.0, face.a[1] + u * face.du[1])
        centre = face.point(u, height * dice.uniform(0.6, 0.95))
        _clump(stage, centre, dice.uniform(0.5, 0.8) * stage.focal / z, leaf, z, 0.0)


def _clump(
    stage: Stage,
    centre: tuple[float, float],
    radius: float,
    leaf: np.ndarray,
    z: float,
    dx: float,
) -> None:
    """Paint one ball of leaves with its lit and its dark side."""
    canvas, (cx, cy) = stage.canvas, centre
    light = stage.dice.uniform(0.75, 1.1) * (1 + 0.12 * stage.sun * (1 if dx > 0 else -1))
    canvas.paint(canvas.ellipse(cx, cy, radius, radius * 0.9), stage.tint(leaf, z, light * 0.85), VEGETATION)
    glow = canvas.ellipse(cx + 0.2 * radius * stage.sun, cy - 0.3 * radius, radius * 0.6, radius * 0.45)
    canvas.paint(glow, stage.tint(leaf, z, light * 1.25), None, 0.6)
