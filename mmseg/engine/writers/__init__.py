"""Where the numbers and pictures of a run go: text, CSV, tensorboard, Weights & Biases."""

from mmseg.engine.writers.base import WRITERS, TolerantWriter, Writer, curves
from mmseg.engine.writers.build import build_writers, start_writers
from mmseg.engine.writers.csv_files import CsvWriter
from mmseg.engine.writers.examples import Example, Examples
from mmseg.engine.writers.tensorboard import TensorboardWriter
from mmseg.engine.writers.text import TextWriter, rounded, text_line
from mmseg.engine.writers.wandb import MMSegWandbWriter, WandbWriter

__all__ = [
    "WRITERS",
    "CsvWriter",
    "Example",
    "Examples",
    "MMSegWandbWriter",
    "TensorboardWriter",
    "TextWriter",
    "TolerantWriter",
    "WandbWriter",
    "Writer",
    "build_writers",
    "curves",
    "rounded",
    "start_writers",
    "text_line",
]
