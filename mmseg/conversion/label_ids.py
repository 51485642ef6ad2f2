"""Label ids of Cityscapes (0 to 33), which KITTI shares, and the train ids (0 to 18) of its 19 classes.

The tables are those of the data set's publication (Cordts et al., The Cityscapes Dataset for Semantic Urban
Scene Understanding, 2016): every class that is not evaluated has no train id.
"""

from __future__ import annotations

import numpy as np

# The label id of each train id.
LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
UNLABELLED = 0  # the label id of what has no train id
IGNORED = 255  # the train id of every class that is not evaluated
_LAST = 33


def train_id_table() -> np.ndarray:
    """Return int16 (256,): the train id of each label id, 255 where it has none, -1 for what is no label id.

    255 is how the id -1 (licence plate) reads in an 8-bit file.
    """
    table = np.full(256, -1, np.int16)
    table[: _LAST + 1] = IGNORED
    table[255] = IGNORED
    table[list(LABEL_IDS)] = np.arange(len(LABEL_IDS))
    return table
