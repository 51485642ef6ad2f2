"""Showing pictures, pages and texts, in a notebook and outside of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from bridge.loader import GlobalBridgeController, display_tool, image_plots
from bridge.utils import in_notebook, print_text
from tests.helpers_bridge import Shown

RED = np.zeros((4, 6, 3), np.uint8) + np.array([255, 0, 0], np.uint8)


def drawn(*images: Any, **options: Any) -> list[np.ndarray]:
    """What matplotlib was given for each image."""
    figure = image_plots(list(images), **options)
    return [np.asarray(ax.images[0].get_array()) for ax in figure.axes if ax.images]


# image_plots -------------------------------------------------------------------------------------


def test_one_picture_of_every_kind(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), RED[..., ::-1])
    kinds = [
        RED,
        RED / 255.0,
        RED.transpose(2, 0, 1),
        torch.from_numpy(RED).permute(2, 0, 1),
        torch.from_numpy(RED.transpose(2, 0, 1) / 255.0).requires_grad_(),
        np.dstack([RED, np.full((4, 6), 255, np.uint8)]),
        str(tmp_path / "red.png"),
        tmp_path / "red.png",
    ]
    for picture in drawn(*kinds):
        assert picture.shape == (4, 6, 3)
        assert np.allclose(picture, RED / 255)


def test_pictures_of_one_channel() -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    for picture in drawn(grey, grey[..., None], grey[None], torch.from_numpy(grey)):
        assert np.allclose(picture, grey / 255)
    (mask,) = drawn(grey > 100)
    assert set(np.unique(mask)) == {0, 1}


def test_sixteen_bits(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((3, 3), 65535, np.uint16))
    assert np.allclose(drawn(tmp_path / "deep.png")[0], 1)


def test_clip_and_normalize() -> None:
    wild = np.array([[-1.0, 0.5], [1.0, 3.0]])
    assert np.allclose(drawn(wild)[0], [[0, 0.5], [1, 1]])
    assert np.allclose(drawn(wild, clip=False)[0], wild)
    assert np.allclose(drawn(wild, normalize=True)[0], (wild + 1) / 4)
    assert np.allclose(drawn(np.full((2, 2), 7.0), normalize=True)[0], 0)
    assert np.allclose(drawn(np.array([[np.nan, 1.0]]))[0], [[0, 1]])


def test_range_of_a_picture_of_one_channel() -> None:
    limits = [
        image_plots([np.array([[0.2, 0.4]])], **options).axes[0].images[0].get_clim()
        for options in ({}, {"clip": False}, {"normalize": True})
    ]
    assert limits == [(0, 1), (pytest.approx(0.2), pytest.approx(0.4)), (0, 1)]


def test_gray_is_luminance() -> None:
    (grey,) = drawn(RED, gray=True)
    assert np.allclose(grey, 0.299)
    assert image_plots([RED], gray=True).axes[0].images[0].get_cmap().name == "gray"
    assert image_plots([RED[..., 0]]).axes[0].images[0].get_cmap().name != "gray"


@pytest.mark.parametrize(
    ("count", "rows", "cols", "expected"),
    [
        (1, None, None, (1, 1)),
        (5, None, None, (2, 3)),
        (5, 5, None, (5, 1)),
        (5, None, 2, (3, 2)),
        (2, 3, 4, (3, 4)),
    ],
)
def test_rows_and_columns(count: int, rows: int | None, cols: int | None, expected: tuple[int, int]) -> None:
    figure = image_plots([RED] * count, rows=rows, cols=cols)
    assert figure.axes[0].get_gridspec().get_geometry() == expected
    assert sum(bool(ax.images) for ax in figure.axes) == count


def test_captions_in_reading_order() -> None:
    figure = image_plots([RED] * 3, captions=["a", "b", "c"], cols=2)
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", ""]


def test_wide_pictures_are_thinned_out() -> None:
    assert drawn(np.zeros((10, 4000, 3), np.uint8))[0].shape == (3, 1000, 3)


def test_a_figure_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "plot.png"
    figure = image_plots([RED, RED], write_to_file=path)
    w, h = figure.get_size_inches() * figure.dpi
    assert cv2.imread(str(path)).shape == (int(h), int(w), 3)


def test_pictures_fill_a_figure(tmp_path: Path) -> None:
    image_plots([RED] * 6, cols=3, write_to_file=tmp_path / "plot.png")
    picture = cv2.imread(str(tmp_path / "plot.png"))
    assert (picture == (0, 0, 255)).all(-1).mean() > 0.9


def test_viz_shows_in_a_notebook(notebook: Shown) -> None:
    image_plots([RED], viz=False)
    assert notebook.things == []
    image_plots([RED])
    ((kind, _, kwargs),) = notebook.things
    assert kind == "Image" and kwargs["data"][:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {}, "there is no picture to show"),
        ([RED], {"captions": ["a", "b"]}, "there are 2 captions for 1 images"),
        ([RED] * 5, {"rows": 2, "cols": 2}, "5 images do not fit into 2 rows x 2 cols"),
        ([RED], {"rows": 0}, "rows must be a whole number of at least 1, not 0"),
        ([RED], {"cols": 1.5}, "cols must be a whole number of at least 1, not 1.5"),
        ([np.zeros((2, 2, 5))], {}, r"a picture is a path or an array .* not \(2, 2, 5\)"),
        ([np.zeros((0, 2))], {}, "a picture is a path or an array"),
        ([np.array([["a"]])], {}, "a picture is a path or an array"),
        (["absent.png"], {}, "absent.png is missing or is no image"),
        ([RED], {"write_to_file": "plot.txt"}, "cannot draw plot.txt: `.txt` is no image format"),
        ([RED], {"write_to_file": "/dev/null/plot.png"}, "cannot write the figure /dev/null/plot.png"),
    ],
)
def test_what_cannot_be_drawn(images: list[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        image_plots(images, **options)


# display_tool ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://example.org/a.PNG?size=2", ("Image", (), {"url": "https://example.org/a.PNG?size=2"})),
        ("https://example.org/a.mp4", ("Video", (), {"url": "https://example.org/a.mp4", "width": None})),
        ("https://example.org/", ("IFrame", ("https://example.org/",), {"width": "100%", "height": 600})),
    ],
)
def test_addresses_are_left_to_the_browser(url: str, kind: Any, notebook: Shown) -> None:
    assert display_tool(url) == kind
    assert notebook.things == [kind]


def test_files_go_into_the_notebook(tmp_path: Path, notebook: Shown) -> None:
    for name in ("a.png", "a.svg", "a.mp4"):
        (tmp_path / name).write_text("<svg/>")
    assert display_tool(tmp_path / "a.png") == ("Image", (), {"filename": str(tmp_path / "a.png")})
    assert display_tool(tmp_path / "a.svg") == ("HTML", ("<svg/>",), {})
    assert display_tool(tmp_path / "a.mp4", width=300)[2] == {
        "filename": str(tmp_path / "a.mp4"),
        "embed": True,
        "width": 300,
    }
    assert len(notebook.things) == 3


def test_outside_of_a_notebook_the_address_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert not in_notebook()
    assert GlobalBridgeController().display_tool("https://example.org/") == "https://example.org/"
    assert capsys.readouterr().out == "https://example.org/\n"


# printer -----------------------------------------------------------------------------------------


def test_a_text_or_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.log"
    path.write_bytes("[a] b \xe4 \N{SNOWMAN}\n".encode() + b"\xff\n")
    assert print_text("no [such] file\nat all") == "no [such] file\nat all"
    assert capsys.readouterr().out == "no [such] file\nat all\n"
    assert print_text(str(path)) == print_text(path) == "[a] b \xe4 \N{SNOWMAN}\n\ufffd"
    assert capsys.readouterr().out.startswith(f"{path}\n---")


def test_a_json_log_is_a_table(tmp_path: Path) -> None:
    records = [
        {"seed": 0},
        {"mode": "train", "iter": 10, "lr": 0.001, "loss": 1.23456},
        {"mode": "train", "iter": 20, "lr": 0.0005, "loss": None},
        {"mode": "val", "iter": 20, "mIoU": 0.5, "IoU.car": 0.25},
    ]
    path = tmp_path / "run.log.json"
    path.write_text("\n".join(map(json.dumps, records)) + '\n[1]\n{"mode": "tr')
    lines = print_text(path).splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["train:"],
        ["iter", "lr", "loss"],
        ["10", "0.001", "1.235"],
        ["20", "0.0005"],
    ]
    assert [line.split() for line in lines[5:]] == [["val:"], ["iter", "mIoU"], ["20", "0.5"]]


def test_other_json_is_indented(tmp_path: Path) -> None:
    path = tmp_path / "eval.json"
    path.write_text('{"metric": {"mIoU": 0.5}}')
    assert print_text(path) == '{\n  "metric": {\n    "mIoU": 0.5\n  }\n}'
    path.write_text("nothing of the kind\n")
    assert print_text(path) == "nothing of the kind"
