"""Contact sheets and their legends."""

from __future__ import annotations

import numpy as np

from mmseg.visualization.contact_sheet import (
    LegendEntry,
    Tile,
    class_legend,
    contact_sheet,
    draw_legend,
    share,
)

RED, GREEN = (0, 0, 250), (0, 250, 0)


def tile(*colours, size=(30, 40)):
    return Tile([np.full((*size, 3), c, np.uint8) for c in colours], ["name.png", "scaled"])


def test_every_picture_is_there_in_order():
    sheet = contact_sheet([tile(RED, GREEN), tile(GREEN, RED), tile(RED, RED)], columns=2, pane_width=80)
    reds, greens = (sheet == RED).all(-1), (sheet == GREEN).all(-1)
    assert reds.sum() == 4 * 80 * 60 and greens.sum() == 2 * 80 * 60
    assert np.argwhere(reds)[0][1] < np.argwhere(greens)[0][1]
    assert sheet.shape[1] == 2 * (2 * 80 + 2) + 3 * 16


def test_columns_follow_from_the_width():
    wide = contact_sheet([tile(RED)] * 20, pane_width=200)
    assert wide.shape[1] <= 1600 and wide.shape[1] > 1200
    assert contact_sheet([tile(RED)], pane_width=200).shape[1] == 232


def test_pictures_of_several_shapes_are_fitted():
    mixed = Tile([np.full((10, 50, 3), RED, np.uint8), np.full((50, 10, 3), GREEN, np.uint8)])
    sheet = contact_sheet([mixed], pane_width=60)
    assert (sheet == RED).all(-1).sum() == 60 * 12 and (sheet == GREEN).all(-1).sum() == 75 * 15


def test_title_and_legend_make_it_taller():
    plain = contact_sheet([tile(RED)] * 4)
    entries = class_legend(["road", "sky"], [[0, 250, 0], [250, 0, 0]], np.array([3, 1]), ignored=4)
    whole = contact_sheet([tile(RED)] * 4, title="data.train", legend=entries)
    assert whole.shape[0] > plain.shape[0] + 30 and (whole == GREEN).all(-1).any()


def test_legend_has_shares():
    entries = class_legend(["road", "sky", "car"], None, np.array([30, 0, 1]), ignored=69)
    assert [e.name for e in entries] == ["road", "sky", "car", "ignored"]
    assert [e.note for e in entries] == ["30.0 %", "none", "1.0 %", "69.0 %"]
    assert entries[-1].colour is None and len({tuple(e.colour) for e in entries[:3]}) == 3
    assert [e.note for e in class_legend(["road"], None)] == [""]


def test_share_tells_little_from_nothing():
    assert (share(0, 10), share(1, 10**6), share(5, 10)) == ("none", "< 0.1 %", "50.0 %")


def test_legend_wraps():
    entries = [LegendEntry(f"class {i}", (0, 0, 0)) for i in range(8)]
    narrow, wide = draw_legend(entries, 120), draw_legend(entries, 1000)
    assert narrow.shape[0] == 8 * 22 and wide.shape[0] == 22 and wide.shape[1] == 1000
