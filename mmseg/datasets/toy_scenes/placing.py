"""What stands where: the two sides of the street, then everything on it, the farthest drawn first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from mmseg.datasets.toy_scenes import furniture, people, street, vehicles
from mmseg.datasets.toy_scenes.canvas import Face, Point, Stage
from mmseg.datasets.toy_scenes.street import Lanes
from mmseg.datasets.toy_scenes.vehicles import Pose

AHEAD, ONCOMING, RIGHTWARD, LEFTWARD = (0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0)
DrawAt = Callable[[Stage, float, float], None]  # draws a thing at (x, z)


@dataclass
class Item:
    """A thing on the street: the ground it stands on (metres) and how to draw it."""

    x0: float
    x1: float
    z0: float
    z1: float
    draw: Callable[[], None]

    def behind(self, other: Item) -> bool:
        """Return whether ``other`` may hide part of this one."""
        if self.z0 >= other.z1 or other.z0 >= self.z1:
            return self.z0 >= other.z1
        return self.aside() > other.aside()

    def aside(self) -> float:
        return 0.0 if self.x0 < 0 < self.x1 else min(abs(self.x0), abs(self.x1))

    def overlaps(self, other: Item) -> bool:
        return self.x0 < other.x1 and other.x0 < self.x1 and self.z0 < other.z1 and other.z0 < self.z1


@dataclass
class Street:
    """A scene under construction; ``view`` is |x| / z at the edge of the picture."""

    stage: Stage
    lanes: Lanes
    view: float
    items: list[Item] = field(default_factory=list)

    def place(self, wide: float, long: float, where: Callable[[], Point], draw: DrawAt) -> None:
        """Put a thing of ``wide`` x ``long`` metres at the first free spot (x, z) that ``where`` proposes.

        Nothing is placed where twelve proposals are taken already.
        """
        for _ in range(12):
            x, z = where()
            ground = (x - wide / 2, x + wide / 2, z - long / 2, z + long / 2)
            spot = Item(*ground, partial(draw, self.stage, x, z))
            if spot.z0 >= 3.5 and not any(spot.overlaps(other) for other in self.items):
                self.items.append(spot)
                return

    def draw_items(self) -> None:
        """Draw what was placed, each thing after those that it may hide."""
        left = list(self.items)
        while left:
            free = [i for i in left if not any(other is not i and other.behind(i) for other in left)]
            item = max(free or left, key=lambda i: i.z0)
            item.draw()
            left.remove(item)


def line_the_street(scene: Street, index: int) -> None:
    """Draw facades, walls, fences, hedges and meadows along both sides, and the shadows they cast.

    What is nearest on each side takes turns with ``index``.
    """
    stage, dice = scene.stage, scene.stage.dice
    nearest = ["fence", "wall", "open", "fence", "wall", "building", "hedge"]
    further = ["building", "building", "fence", "fence", "wall", "wall", "hedge", "open"]
    slots: list[tuple[float, Callable[[], None]]] = []
    for side, line in ((-1, scene.lanes.left), (1, scene.lanes.right)):
        near = abs(line) / scene.view * dice.uniform(0.75, 0.95)
        kind = nearest[(index + (2 if side > 0 else 0) + dice.integer(0, 1)) % len(nearest)]
        while near < 75:
            far = near + dice.uniform(7, 15) * (1 if near < 30 else 2)
            low, high = {"building": (5, 13), "wall": (2.8, 4.2)}.get(kind, (2.1, 3.0))
            tall = dice.uniform(low, high)
            slots.append((near, partial(_draw_slot, stage, kind, side, line, near, far, tall)))
            if side == stage.sun and kind != "open":
                end = line - side * min(tall, 9.0) * 0.8
                stage.ground([(line, near), (line, far), (end, far + 2), (end, near + 2)], 0.62)
            near = far
            kind = dice.pick(further)
    for _, draw in sorted(slots, key=lambda slot: -slot[0]):
        draw()


def _draw_slot(stage: Stage, kind: str, side: int, line: float, near: float, far: float, tall: float) -> None:
    """Draw one stretch of one side, with what stands behind it where it is low."""
    dice = stage.dice

    def along(x: float) -> Face:
        return stage.face((x, near), (x, far)) if side < 0 else stage.face((x, far), (x, near))

    if kind == "building":
        street.draw_building(along(line), tall)
        left, right = sorted((line, line + side * 9))
        street.draw_building(stage.face((left, near), (right, near)), tall)
        return
    backdrop = dice.integer(0, 2)
    if backdrop == 0:
        street.draw_building(along(line + side * dice.uniform(4, 8)), dice.uniform(4, 9))
    elif backdrop == 1:
        for i in range(3):
            z = far - (far - near) * (i + dice.uniform(0.2, 0.8)) / 3
            street.draw_tree(stage, line + side * dice.uniform(2.5, 5), z, dice.uniform(4, 7.5))
    if kind != "open":
        draw = {"wall": street.draw_wall, "fence": street.draw_fence, "hedge": street.draw_hedge}[kind]
        draw(along(line), tall)


def fill_the_street(scene: Street, index: int) -> None:
    """Place vehicles, people and street furniture; the rare classes take turns with ``index``."""
    dice, lanes = scene.stage.dice, scene.lanes
    if lanes.track is not None:
        start = (abs(lanes.track) - 1.3) / scene.view
        heading = AHEAD if lanes.track > 0 else ONCOMING
        where = lambda: (lanes.track, start * dice.uniform(0.9, 1.3) + 12)  # noqa: E731
        scene.place(2.9, 24, where, _heading(vehicles.draw_train, heading))
    two_wheelers = [people.draw_bicycle, people.draw_motorcycle]
    for i in range(dice.integer(1, 2)):
        draw = two_wheelers[(index + i) % 2]
        scene.place(2.2, 1.4, partial(_on_the_road, scene), partial(draw, ridden=True))
    if index % 3 == 0 or dice.chance(0.3):
        _place_vehicle(scene, vehicles.draw_bus, 2.6, 11, 8, 13)
    if index % 3 == 1 or dice.chance(0.4):
        _place_vehicle(scene, vehicles.draw_truck, 2.5, 8, 8, 13)
    for draw in two_wheelers:
        if dice.chance(0.5):
            where = partial(_beside, scene, dice.pick([-1, 1]), 0.6, 1.6, 5)
            scene.place(2.0, 0.6, where, partial(draw, ridden=False))
    for side in (-1, 1):
        if dice.chance(0.85):
            scene.place(0.8, 0.5, partial(_beside, scene, side, 0.3, 0.8, 5), furniture.draw_traffic_sign)
        if dice.chance(0.75):
            scene.place(0.8, 0.5, partial(_beside, scene, side, 0.3, 0.8, 6), furniture.draw_traffic_light)
        for _ in range(dice.integer(1, 3)):
            scene.place(0.6, 0.5, partial(_beside, scene, side, 0.3, 0.6, 14), furniture.draw_lamp_post)
        if dice.chance(0.4):
            tree = partial(street.draw_tree, size=dice.uniform(4, 6.5))
            scene.place(0.8, 0.8, partial(_beside, scene, side, 1.2, 2.0, 16), tree)
    for _ in range(dice.integer(3, 6)):
        pavement = partial(_beside, scene, dice.pick([-1, 1]), 0.5, 2.2, 7)
        where = partial(_on_the_road, scene) if dice.chance(0.2) else pavement
        scene.place(0.9, 0.5, where, people.draw_person)
    for _ in range(dice.integer(2, 5)):
        _place_vehicle(scene, vehicles.draw_car, 1.9, 4.4, 6, 22)


def _heading(draw: Callable[[Stage, Pose], None], heading: Point) -> DrawAt:
    return lambda stage, x, z: draw(stage, Pose(x, z, heading))


def _place_vehicle(
    scene: Street, draw: Callable[[Stage, Pose], None], wide: float, long: float, near: float, far: float
) -> None:
    """Place a vehicle parked, driving ahead, oncoming, or across the road as at a crossing."""
    dice, lanes = scene.stage.dice, scene.lanes
    middle = (lanes.left_kerb + lanes.right_kerb) / 2
    kind = dice.integer(0, 9)
    if kind < (2 if long > 5 else 1):
        where = lambda: (dice.uniform(-0.4, 0.4) * long, dice.uniform(near + 2, far + 2))  # noqa: E731
        heading = dice.pick([RIGHTWARD, LEFTWARD])
        scene.place(long + 0.6, wide + 0.6, where, _heading(draw, heading))
        return
    lane, heading = [
        (lanes.right_kerb - wide / 2 - 0.15, AHEAD),
        ((middle + lanes.right_kerb) / 2 - 0.3, AHEAD),
        (lanes.left_kerb + wide / 2 + 0.15, ONCOMING),
        ((middle + lanes.left_kerb) / 2, ONCOMING),
    ][kind % 4]
    start = max(near, (abs(lane) - wide / 2) / scene.view * 0.9)

    def in_lane() -> Point:
        return lane + dice.uniform(-0.15, 0.15), dice.uniform(start, max(start + 4, far)) + long / 2

    scene.place(wide + 0.4, long + 1.0, in_lane, _heading(draw, heading))


def _beside(scene: Street, side: int, low: float, high: float, reach: float) -> Point:
    """Propose a spot ``low`` to ``high`` metres off the kerb on ``side``, as near as the picture shows it."""
    dice, kerb = scene.stage.dice, scene.lanes.right_kerb if side > 0 else scene.lanes.left_kerb
    x = kerb + side * dice.uniform(low, high)
    start = max(6.0, abs(x) / scene.view * 1.08)
    return x, dice.uniform(start, start + reach)


def _on_the_road(scene: Street) -> Point:
    dice, lanes = scene.stage.dice, scene.lanes
    return dice.uniform(lanes.left_kerb + 1, lanes.right_kerb - 1), dice.uniform(6.0, 13)
