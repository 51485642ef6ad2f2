"""Street-scene semantic segmentation: train, evaluate and inspect models from config files.

Importing this package imports neither torch nor OpenCV, so that command lines answer at once;
the subpackages (``mmseg.apis``, ``mmseg.models``, ``mmseg.datasets``, ...) do.
"""

__version__ = "1.0.0"
