"""What a scene is drawn with: dice, a canvas of colour and label, a camera, upright faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np

Colour = tuple[float, float, float] | np.ndarray  # RGB, 0 to 255
Point = tuple[float, float]
Window = tuple[slice, slice]  # rows and columns of the canvas

# Corners of a regular 12-gon; literals, because the last bit of sin and cos differs between libraries.
CIRCLE = [(1.0, 0.0), (0.866, 0.5), (0.5, 0.866), (0.0, 1.0), (-0.5, 0.866), (-0.866, 0.5)]
CIRCLE += [(-x, -y) for x, y in CIRCLE]


class Dice:
    """Random draws that use only ``Generator.random``: the plainest stream that numpy has."""

    def __init__(self, *key: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(key))))

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(self._generator.random())

    def chance(self, probability: float) -> bool:
        return float(self._generator.random()) < probability

    def integer(self, low: int, high: int) -> int:
        """Return an integer of ``low..high``, both included."""
        return low + int(float(self._generator.random()) * (high - low + 1))

    def pick(self, items: Sequence):
        return items[self.integer(0, len(items) - 1)]

    def tone(self, colours: Sequence[Colour]) -> np.ndarray:
        """Return one of ``colours`` as an array (3,), ready to be scaled."""
        return np.asarray(self.pick(colours), np.float32)

    def array(self, *shape: int) -> np.ndarray:
        """Return float32 draws of [0, 1)."""
        return self._generator.random(shape).astype(np.float32)


def mix(a: Colour, b: Colour, share: float | np.ndarray) -> np.ndarray:
    """Return ``a`` for ``share`` 0 and ``b`` for 1; a ``share`` of shape (H, W) gives (H, W, 3)."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    if isinstance(share, np.ndarray):
        share = share[..., None]
    return a + (b - a) * np.asarray(share, np.float32)


def value_noise(dice: Dice, height: int, width: int, cell_h: float, cell_w: float) -> np.ndarray:
    """Return smooth noise (height, width), float32 in [0, 1): random knots, bilinear between them."""
    rows, row_share = _knots(height, cell_h)
    cols, col_share = _knots(width, cell_w)
    knots = dice.array(rows[-1] + 2, cols[-1] + 2)
    upper = knots[rows] + (knots[rows + 1] - knots[rows]) * row_share[:, None]
    return upper[:, cols] + (upper[:, cols + 1] - upper[:, cols]) * col_share


def _knots(length: int, cell: float) -> tuple[np.ndarray, np.ndarray]:
    position = (np.arange(length, dtype=np.float64) / cell).astype(np.float32)
    index = position.astype(np.int64)
    share = position - index
    return index, share * share * (3 - 2 * share)


def band(t: np.ndarray, low: float, high: float, soft: np.ndarray | float) -> np.ndarray:
    """Return 1 where ``low < t < high``, 0 elsewhere, with edges ``soft`` wide (same unit as ``t``)."""
    return np.clip((t - low) / soft + 0.5, 0, 1) * np.clip((high - t) / soft + 0.5, 0, 1)


class Canvas:
    """A picture and its labels, drawn together.

    Attributes:
        image: (H, W, 3) float32 RGB, 0 to 255.
        label: (H, W) uint8 train ids; 255 is unlabelled.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.image = np.zeros((height, width, 3), np.float32)
        self.label = np.full((height, width), 255, np.uint8)
        self.x = np.arange(width, dtype=np.float32) + np.float32(0.5)
        self.y = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)

    def window(self, points: Sequence[Point]) -> Window | None:
        """Return the part of the canvas that ``points`` span, or None where they miss it."""
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        x0, x1 = max(0, int(min(xs)) - 1), min(self.width, int(max(xs)) + 2)
        y0, y1 = max(0, int(min(ys)) - 1), min(self.height, int(max(ys)) + 2)
        return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None

    def polygon(self, points: Sequence[Point]) -> tuple[Window, np.ndarray] | None:
        """Return the window of a convex polygon and the share of each of its pixels that it covers."""
        turn = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, [*points[1:], points[0]], strict=True))
        window = self.window(points)
        if window is None or abs(turn) < 1e-3:
            return None
        x, y = self.x[window[1]], self.y[window[0]]
        inside = None
        for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
            length = sqrt((bx - ax) * (bx - ax) + (by - ay) * (by - ay))
            if length < 1e-6:
                continue
            scale = (1 if turn > 0 else -1) / length
            across, down = np.float32((bx - ax) * scale), np.float32((by - ay) * scale)
            offset = np.float32(0.5 - ay * float(across) + ax * float(down))
            distance = y * across + (offset - x * down)
            inside = distance if inside is None else np.minimum(inside, distance)
        return window, np.clip(inside, 0, 1)

    def ellipse(self, cx: float, cy: float, rx: float, ry: float) -> tuple[Window, np.ndarray] | None:
        """Like ``polygon``, for an ellipse of radii ``rx``, ``ry`` (pixels) around (``cx``, ``cy``)."""
        window = self.window([(cx - rx, cy - ry), (cx + rx, cy + ry)])
        if window is None or min(rx, ry) < 0.3:
            return None
        x = (self.x[window[1]] - np.float32(cx)) / np.float32(rx)
        y = (self.y[window[0]] - np.float32(cy)) / np.float32(ry)
        return window, np.clip((1 - np.sqrt(x * x + y * y)) * np.float32(min(rx, ry)) + np.float32(0.5), 0, 1)

    def paint(
        self,
        shape: tuple[Window, np.ndarray] | None,
        colour: Colour,
        label: int | None = None,
        opacity: float = 1.0,
    ) -> None:
        """Blend ``colour`` (one, or one per pixel of the window) into ``shape`` and write ``label`` there.

        ``label`` None leaves the labels as they are; an ``opacity`` below 1 lets the picture shine
        through (spokes, wire), while the label counts in full.
        """
        if shape is None:
            return
        window, cover = shape
        part = self.image[window]
        part += (np.asarray(colour, np.float32) - part) * (cover * np.float32(opacity))[..., None]
        if label is not None:
            self.label[window][cover >= 0.5] = label

    def darken(self, shape: tuple[Window, np.ndarray] | None, factor: float) -> None:
        """Multiply the picture by ``factor`` within ``shape``."""
        if shape is not None:
            window, cover = shape
            self.image[window] *= (1 - cover * np.float32(1 - factor))[..., None]


class Stage:
    """A canvas seen through a camera, under a light, along a street that may bend.

    World coordinates are metres: x to the right of the street's axis, y up from the ground, z ahead of
    the camera. ``bend`` shifts x by ``bend * z^2 / 2``.

    Args:
        horizon: Image row of the horizon.
        focal: Focal length in pixels.
        eye: Height of the camera above the ground.
        centre: Image column of x = 0 far away.
        sun: -1 (from the left), 0 (overcast) or 1 (from the right).
        haze: Colour that far things fade to.
        fade: Distance at which half of a thing's colour has faded.
    """

    def __init__(
        self,
        canvas: Canvas,
        dice: Dice,
        *,
        horizon: float,
        focal: float,
        eye: float,
        centre: float,
        bend: float,
        sun: int,
        haze: Colour,
        fade: float,
    ) -> None:
        self.canvas, self.dice = canvas, dice
        self.horizon, self.focal, self.eye, self.centre, self.bend = horizon, focal, eye, centre, bend
        self.sun, self.haze, self.fade = sun, haze, fade

    def project(self, x: float, y: float, z: float) -> Point:
        """Return the pixel (column, row) of a world point with z > 0."""
        x = x + self.bend * z * z / 2
        return self.centre + self.focal * x / z, self.horizon - self.focal * (y - self.eye) / z

    def tint(self, colour: Colour, z: float, light: float = 1.0) -> np.ndarray:
        """Return ``colour`` under ``light`` as seen from ``z`` metres away, through the haze."""
        return mix(np.asarray(colour, np.float32) * np.float32(light), self.haze, z / (z + self.fade))

    def ground(self, corners: Sequence[Point], factor: float) -> None:
        """Darken the convex ground polygon with ``corners`` (x, z): a cast shadow."""
        self.canvas.darken(self.canvas.polygon([self.project(x, 0.0, z) for x, z in corners]), factor)

    def face(self, a: Point, b: Point, light: float | None = None) -> Face:
        """Return the upright face over the ground line from ``a`` to ``b`` (x, z), left to right."""
        return Face(self, a, b, light)

    def billboard(self, x: float, z: float, width: float) -> Face:
        """Return a face that looks at the camera, ``width`` metres wide around ``x``."""
        return Face(self, (x - width / 2, z), (x + width / 2, z), 1.0)


class Face:
    """An upright plane over a ground line; points on it are (u metres along the line, v metres up)."""

    def __init__(self, stage: Stage, a: Point, b: Point, light: float | None = None) -> None:
        self.stage, self.a, self.b = stage, a, b
        dx, dz = b[0] - a[0], b[1] - a[1]
        self.length = sqrt(dx * dx + dz * dz)
        self.du = (dx / self.length, dz / self.length)
        self.z = (a[1] + b[1]) / 2
        # The outward normal of a face drawn left to right is (dz, -dx): its x decides how the sun hits it.
        self.light = 1.0 + 0.3 * stage.sun * self.du[1] if light is None else light

    def point(self, u: float, v: float, depth: float = 0.0) -> Point:
        """Return the pixel of a point on the face, or ``depth`` metres behind it."""
        x = self.a[0] + u * self.du[0] - depth * self.du[1]
        return self.stage.project(x, v, max(0.5, self.a[1] + u * self.du[1] + depth * self.du[0]))

    def colour(self, colour: Colour) -> np.ndarray:
        return self.stage.tint(colour, self.z, self.light)

    def poly(
        self, points: Sequence[tuple[float, ...]], colour: Colour, label: int | None, opacity: float = 1.0
    ) -> None:
        """Paint the convex polygon of ``points``, (u, v) or (u, v, depth)."""
        shape = self.stage.canvas.polygon([self.point(*p) for p in points])
        self.stage.canvas.paint(shape, self.colour(colour), label, opacity)

    def rect(
        self,
        u0: float,
        v0: float,
        u1: float,
        v1: float,
        colour: Colour,
        label: int | None,
        opacity: float = 1.0,
    ) -> None:
        self.poly([(u0, v0), (u1, v0), (u1, v1), (u0, v1)], colour, label, opacity)

    def disc(
        self, u: float, v: float, radius: float, colour: Colour, label: int | None, opacity: float = 1.0
    ) -> None:
        self.poly([(u + radius * x, v + radius * y) for x, y in CIRCLE], colour, label, opacity)

    def line(
        self, p: Point, q: Point, width: float, colour: Colour, label: int | None, opacity: float = 1.0
    ) -> None:
        """Draw a bar ``width`` metres thick from ``p`` to ``q``."""
        du, dv = q[0] - p[0], q[1] - p[1]
        scale = width / 2 / max(1e-6, sqrt(du * du + dv * dv))
        nu, nv = -dv * scale, du * scale
        corners = [
            (p[0] + nu, p[1] + nv),
            (q[0] + nu, q[1] + nv),
            (q[0] - nu, q[1] - nv),
            (p[0] - nu, p[1] - nv),
        ]
        self.poly(corners, colour, label, opacity)

    def surface(
        self,
        height: float,
        label: int | None,
        shader: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray],
        base: float = 0.0,
    ) -> None:
        """Paint the face from ``base`` to ``height`` with ``shader(u, v, soft_u, soft_v)``.

        All four are (h, w) in metres, ``soft_*`` the size of a pixel there; it returns (h, w, 3) RGB.
        """
        stage, length = self.stage, self.length
        corners = [self.point(u, v) for u, v in [(0, base), (length, base), (length, height), (0, height)]]
        shape = stage.canvas.polygon(corners)
        if shape is None:
            return
        window = shape[0]
        # Straight line between the projected ends: exact but for the bend within one face.
        ax, bx = (p[0] + stage.bend * p[1] * p[1] / 2 for p in (self.a, self.b))
        az, bz = self.a[1], self.b[1]
        column = (stage.canvas.x[window[1]] - np.float32(stage.centre)) / np.float32(stage.focal)
        along = np.float32(bx - ax) - column * np.float32(bz - az)
        along = np.where(np.abs(along) < 1e-4, np.float32(1e-4), along)
        share = np.clip((column * np.float32(az) - np.float32(ax)) / along, 0, 1)
        z = np.maximum(np.float32(az) + share * np.float32(bz - az), np.float32(0.5))
        u = np.broadcast_to(share * np.float32(length), shape[1].shape)
        v = (np.float32(stage.horizon) - stage.canvas.y[window[0]]) * (
            z / np.float32(stage.focal)
        ) + stage.eye
        step = np.abs(np.diff(u, axis=1, prepend=u[:, :1] * 2 - u[:, 1:2])) if u.shape[1] > 1 else u * 0
        soft_u = np.maximum(step, np.float32(1e-3))
        soft_v = np.broadcast_to(z / np.float32(stage.focal), u.shape)
        colour = shader(u, v.astype(np.float32), soft_u, soft_v) * np.float32(self.light)
        fog = z / (z + np.float32(stage.fade))
        colour = colour + (np.asarray(stage.haze, np.float32) - colour) * fog[None, :, None]
        stage.canvas.paint(shape, colour, label)
