"""From painted surfaces to a photograph: texture, light and shade, exposure, noise."""

from __future__ import annotations

import numpy as np

from mmseg.datasets.toy_scenes.canvas import Stage, value_noise
from mmseg.datasets.toy_scenes.labels import BUILDING, ROAD, SIDEWALK, SKY, TERRAIN, VEGETATION, WALL

# Roughness of a surface: relative amplitude of its grain (a pixel or two) and of its blotches (more).
ROUGHNESS = {ROAD: (0.16, 0.06), SIDEWALK: (0.08, 0.06), BUILDING: (0.06, 0.06), WALL: (0.14, 0.14)}
ROUGHNESS |= {VEGETATION: (0.42, 0.40), TERRAIN: (0.26, 0.20), SKY: (0.0, 0.0)}
SMOOTH = (0.04, 0.03)


def develop(stage: Stage, evening: bool) -> np.ndarray:
    """Return the picture that a camera would take of what is painted: (H, W, 3) uint8 RGB."""
    light = _texture(stage) * _shade(stage)
    image = _expose(stage, stage.canvas.image * light[..., None], evening)
    height, width = stage.canvas.height, stage.canvas.width
    noise = stage.dice.array(height, width, 3) + stage.dice.array(height, width, 3) - np.float32(1)
    image = image + noise * np.float32(stage.dice.uniform(4, 16))
    return np.clip(image + np.float32(0.5), 0, 255).astype(np.uint8)


def _texture(stage: Stage) -> np.ndarray:
    canvas, dice, unit = stage.canvas, stage.dice, stage.canvas.height / 128
    table = np.empty((256, 2), np.float32)
    table[:] = SMOOTH
    for train_id, amplitudes in ROUGHNESS.items():
        table[train_id] = amplitudes
    rough = table[canvas.label]
    grain = value_noise(dice, canvas.height, canvas.width, 1.6 * unit, 1.6 * unit) - np.float32(0.5)
    blotch = value_noise(dice, canvas.height, canvas.width, 5 * unit, 6 * unit) - np.float32(0.5)
    return (1 + 2 * grain * rough[..., 0]) * (1 + 2 * blotch * rough[..., 1])


def _shade(stage: Stage) -> np.ndarray:
    """Return the shade of what stands outside the picture; it falls over everything but the sky."""
    canvas, dice, unit = stage.canvas, stage.dice, stage.canvas.height / 128
    clouds = value_noise(dice, canvas.height, canvas.width, 60 * unit, 80 * unit)
    dark = clouds * np.float32(dice.uniform(0.05, 0.35))
    if stage.sun and dice.chance(0.7):  # a mast, a tree, the next house
        slope, start = dice.uniform(-1.2, 1.2), dice.uniform(0.1, 0.9) * canvas.width
        wide = np.float32(dice.uniform(20, 70) * unit)
        across = canvas.x - np.float32(start) + canvas.y * np.float32(slope)
        beam = np.clip((wide - np.abs(across)) / np.float32(6 * unit) + np.float32(0.5), 0, 1)
        dark = 1 - (1 - dark) * (1 - beam * np.float32(dice.uniform(0.2, 0.45)))
    return np.where(canvas.label == SKY, np.float32(1), 1 - dark)


def _expose(stage: Stage, image: np.ndarray, evening: bool) -> np.ndarray:
    """Draw saturation, white balance and exposure, and bend the brights like film."""
    dice = stage.dice
    grey = image[..., :1] * np.float32(0.3) + image[..., 1:2] * np.float32(0.59)
    grey = grey + image[..., 2:] * np.float32(0.11)
    image = image + (grey - image) * np.float32(dice.uniform(0, 0.3))
    warm = dice.uniform(0.04, 0.16) if evening else dice.uniform(-0.12, 0.12)
    balance = np.asarray((1 + warm, 1 + dice.uniform(-0.03, 0.03), 1 - warm), np.float32)
    image = image * (balance * np.float32(dice.uniform(0.88, 1.35)))
    return image * np.float32(1.12) - image * image * np.float32(0.12 / 255)
