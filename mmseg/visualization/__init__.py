"""Pictures of label maps: palettes and overlays."""

from mmseg.visualization.overlay import colorize, label_map_image, legend, overlay, save_image
from mmseg.visualization.palettes import colour_table, default_palette

__all__ = [
    "colorize",
    "colour_table",
    "default_palette",
    "label_map_image",
    "legend",
    "overlay",
    "save_image",
]
