"""What the page to try a model shows: labels, legend, blends, messages, and the port it takes."""

from __future__ import annotations

import socket

import cv2
import numpy as np
import pytest
import torch

from mmseg.apis import inference_segmentor, init_segmentor
from mmseg.apis.demo import (
    Segmented,
    blend,
    legend_html,
    legend_rows,
    message_html,
    percent,
    segment_upload,
    summary,
)
from mmseg.apis.demo_page import Shown, fitted, forget, free_port, stem_of, write_pictures
from mmseg.config import Config
from mmseg.utils.errors import UserError
from mmseg.visualization.overlay import overlay
from tests.helpers_run import CLASSES, PALETTE, tiny_config, write_dataset

LABELS = np.array([[0, 0, 2, 2], [0, 0, 2, 0]], np.uint8)


@pytest.fixture
def root(tmp_path):
    return write_dataset(tmp_path / "data", train=1, val=1)


@pytest.fixture
def model(root):
    torch.manual_seed(0)
    return init_segmentor(Config(tiny_config(root)), device="cpu")


def test_an_upload_gives_what_inference_gives(root, model):
    path = root / "img_dir" / "val" / "000.png"
    result = segment_upload(model, path, name="my street.png")
    assert np.array_equal(result.labels, inference_segmentor(model, path)[0])
    assert np.array_equal(result.image, cv2.imread(str(path)))
    assert result.labels.dtype == np.uint8 and result.notes == () and result.seconds > 0
    assert summary(result).startswith("my street.png: 64 x 48 pixels, segmented in ")


def test_a_bad_upload_is_refused_by_its_own_name(tmp_path, model):
    (tmp_path / "x").write_text("hello")
    with pytest.raises(UserError, match=r"^notes\.txt is not an image"):
        segment_upload(model, tmp_path / "x", name="notes.txt")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            RuntimeError("Kernel size can't be greater\nthan this"),
            "cannot segment a.png .64 x 48.: Kernel size",
        ),
        (torch.OutOfMemoryError("CUDA out of memory"), "needs more memory than there is"),
        (MemoryError(), "needs more memory than there is"),
        (ZeroDivisionError(), "ZeroDivisionError"),
    ],
)
def test_whatever_fails_in_the_model_is_one_line(error, words, root, model, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(model, "forward", fail)
    with pytest.raises(UserError, match=words) as caught:
        segment_upload(model, root / "img_dir" / "val" / "000.png", name="a.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(1, 1), (2, 3000), (3000, 2)])
def test_odd_sizes_give_labels_or_one_line(size, tmp_path, model):
    path = tmp_path / "odd.png"
    cv2.imwrite(str(path), np.zeros((*size, 3), np.uint8))
    try:
        labels = segment_upload(model, path).labels
    except UserError as error:
        assert "odd.png" in str(error) and "\n" not in str(error)
    else:
        assert labels.shape == size


def test_legend_rows():
    rows = legend_rows(LABELS, CLASSES, PALETTE)
    assert [(r.name, r.pixels, r.share) for r in rows] == [
        ("left", 5, 0.625),
        ("right", 3, 0.375),
        ("middle", 0, 0.0),
    ]
    assert [r.colour for r in rows] == [(200, 0, 0), (0, 0, 200), (0, 200, 0)]
    assert [r.label for r in rows] == [0, 2, 1]


def test_legend_without_names_has_the_colours_of_the_overlay():
    rows = legend_rows(LABELS)
    black = np.zeros((*LABELS.shape, 3), np.uint8)
    drawn = blend(black, LABELS, opacity=1.0)
    assert [r.name for r in rows] == ["class 0", "class 2", "class 1"]
    assert tuple(drawn[0, 0, ::-1]) == rows[0].colour and tuple(drawn[0, 2, ::-1]) == rows[1].colour


def test_legend_html_is_escaped_and_names_what_is_absent():
    text = legend_html(legend_rows(LABELS, ["<b>road</b>", "a & b", "sky"], PALETTE))
    assert "&lt;b&gt;road&lt;/b&gt;" in text and "<b>" not in text
    assert "62.5 %" in text and "37.5 %" in text and "#c80000" in text
    assert "Not in this image: a &amp; b" in text and text.count("<tr") == 2
    assert "Not in this image" not in legend_html(legend_rows(LABELS[:, :2], ["road"]))


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0 %"), (1e-6, "< 0.1 %"), (0.0006, "0.1 %"), (0.12345, "12.3 %"), (1, "100.0 %")],
)
def test_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize("opacity", [0.0, 0.25, 0.55, 1.0])
def test_blend(opacity):
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 3), np.uint8)
    blended = blend(image, LABELS, PALETTE, opacity)
    colours = np.array(PALETTE)[LABELS][..., ::-1]
    assert np.abs(blended - (image * (1 - opacity) + colours * opacity)).max() <= 0.51
    assert blended is not image
    if opacity:
        assert np.array_equal(blended, overlay(image, LABELS, PALETTE, opacity))


def test_blend_refuses_an_opacity_beyond_1():
    with pytest.raises(UserError, match="opacity is 1.5"):
        blend(np.zeros((2, 4, 3), np.uint8), LABELS, PALETTE, 1.5)


def test_messages_are_escaped():
    assert message_html("<script>", "error") == '<div class="message error" role="alert">&lt;script&gt;</div>'
    assert 'role="status"' in message_html("fine") and message_html("") == ""


def test_pictures_follow_the_slider_without_the_model(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 3), np.uint8)
    folder = tmp_path / "shown"
    shown = Shown(Segmented("my photo.jpg", image, LABELS, (), 0.1), str(folder))

    class ModelWithoutForward:
        PALETTE = PALETTE

    first = write_pictures(shown, ModelWithoutForward(), 55)
    small, whole = write_pictures(shown, ModelWithoutForward(), 100)
    assert first != (small, whole) and whole.endswith("my_photo_overlay_100.png")
    assert np.array_equal(cv2.imread(whole)[..., ::-1], np.array(PALETTE)[LABELS])
    assert [p.name for p in folder.glob("*.png")] == ["my_photo_overlay_100.png"]
    forget(shown)
    forget(None)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("shape", "expected"), [((100, 300), (100, 300)), ((1000, 3000), (133, 400)), ((9, 4000), (1, 400))]
)
def test_fitted(shape, expected):
    assert fitted(np.zeros((*shape, 3), np.uint8), 400).shape[:2] == expected


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a b.tar.png", "a_b_tar"), ("../../x.png", "______x"), (".png", "_png"), ("", "image")],
)
def test_stem_of(name, stem):
    assert stem_of(name) == stem


def test_free_port():
    port = free_port("127.0.0.1", 0)
    assert 1024 <= port <= 65535
    assert free_port("127.0.0.1", port) == port


def test_a_port_in_use_names_another():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            UserError, match=rf"port {port} of 127\.0\.0\.1 is in use.*: try --port (\d+)$"
        ) as caught:
            free_port("127.0.0.1", port)
    other = int(str(caught.value).rpartition(" ")[2])
    assert other != port and free_port("127.0.0.1", other) == other


@pytest.mark.parametrize("port", [-1, 65536])
def test_no_port(port):
    with pytest.raises(UserError, match=f"--port is {port}"):
        free_port("127.0.0.1", port)


def test_an_address_of_another_machine():
    with pytest.raises(UserError, match=r"cannot listen on 192\.0\.2\.1: .*--host 127\.0\.0\.1"):
        free_port("192.0.2.1", 7860)
