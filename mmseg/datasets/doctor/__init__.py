"""What is wrong with a data set, and what it holds: every file read once, before training does."""

from mmseg.datasets.doctor.findings import ERROR, NOTE, WARNING, Finding
from mmseg.datasets.doctor.listing import Part, list_parts
from mmseg.datasets.doctor.weights import class_weights

__all__ = ["ERROR", "NOTE", "WARNING", "Finding", "Part", "class_weights", "list_parts"]
