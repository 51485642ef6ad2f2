"""tools/demo_app.py: its mistakes in one line, and its page in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mmseg.models import build_segmentor
from mmseg.utils.checkpoint import save_checkpoint
from tests.helpers_run import (
    CLASSES,
    PALETTE,
    REPO,
    run_tool_here,
    tiny_config,
    tiny_model,
    write_config,
    write_dataset,
)
from tests.helpers_weights import recorded_weights

BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
def trial(tmp_path: Path) -> dict[str, Path]:
    """A config, a checkpoint of a model that sees several classes, and the images of ``val``."""
    root = write_dataset(tmp_path / "data", train=1, val=2)
    torch.manual_seed(0)
    model = build_segmentor(tiny_model())
    model.load_state_dict(recorded_weights(model.state_dict()))
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    meta = {"CLASSES": list(CLASSES), "PALETTE": PALETTE}
    save_checkpoint({"state_dict": model.state_dict(), "meta": meta}, str(tmp_path / "model.pth"))
    config = write_config(tmp_path / "config.py", tiny_config(root))
    return {"config": config, "checkpoint": tmp_path / "model.pth", "images": root / "img_dir" / "val"}


@pytest.fixture
def refused(trial, monkeypatch, capsys):
    """Call the tool, which must exit with status 2; it gives the line."""

    def call(*options: object, config: object = None, checkpoint: object = None) -> str:
        where = (config or trial["config"], checkpoint or trial["checkpoint"])
        with pytest.raises(SystemExit) as stopped:
            run_tool_here("demo_app", *where, "--device", "cpu", *options, monkeypatch=monkeypatch)
        assert stopped.value.code == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if "- INFO -" not in line]
        assert len(lines) == 1 and lines[0].startswith("error: ")
        return lines[0]

    return call


def test_mistakes_are_one_line_before_gradio_is_imported(trial, refused, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)  # an import would fail
    (tmp_path / "notes.txt").write_text("hello")
    assert "gone.py does not exist" in refused(config=tmp_path / "gone.py")
    assert "did you mean `samples_per_gpu`?" in refused("--cfg-options", "data.sample_per_gpu=2")
    assert "there is no checkpoint" in refused(checkpoint=tmp_path / "gone.pth")
    assert "notes.txt is broken, or no checkpoint" in refused(checkpoint=tmp_path / "notes.txt")
    assert "--device tpu9" in refused("--device", "tpu9")
    assert "--max-megapixels is 0;" in refused("--max-megapixels", "0")
    assert "--port is 70000" in refused("--port", "70000")
    assert "no image in it" in refused("--examples", tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is in use" in refused("--port", port)


def test_without_gradio_the_line_names_the_extra(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert 'pip install -e ".[demo]"' in refused("--port", 0)


@contextmanager
def served(trial: dict[str, Path], *options: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """Run the tool in a process of its own; gives the page's address."""
    command = [sys.executable, "tools/demo_app.py", str(trial["config"]), str(trial["checkpoint"])]
    process = subprocess.Popen(
        [*command, "--port", "0", "--device", "cpu", *options],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"open (http://127\.0\.0\.1:\d+) in a browser", line):
                break
        else:
            raise AssertionError("".join(lines))
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0, "".join(lines) + rest
    assert "Traceback" not in rest and "the page is closed" in rest, rest


@contextmanager
def proxy_that_counts() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that answers nothing, and what was asked of it."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(200))

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked


@contextmanager
def browser_page(**options: Any) -> Iterator[tuple[Any, list[str], list[str]]]:
    """A tab of a real browser, the addresses that it asks for, and the errors of its console."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")  # else the one of playwright
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        page = browser.new_page(**options)
        asked: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page, asked, errors
        browser.close()


def shares(page: Any) -> dict[str, float]:
    rows = page.eval_on_selector_all("#legend tr", "rows => rows.map(row => row.innerText)")
    return {name.strip(): float(share.strip(" <%")) for name, share in (r.rsplit("\t", 1) for r in rows)}


def segment(page: Any, path: Path) -> None:
    """Choose a file and wait until the page shows its result."""
    page.set_input_files("#drop input[type=file]", path)
    page.wait_for_selector(f"#message .note:has-text('{path.name}: ')")
    page.wait_for_function("document.querySelector('#picture img')?.complete")


def download(page: Any, button: str) -> tuple[str, np.ndarray]:
    with page.expect_download() as waiting:
        page.click(button)
    file = waiting.value
    return file.suggested_filename, cv2.imread(file.path(), cv2.IMREAD_UNCHANGED)


@pytest.mark.slow
def test_the_page_in_a_browser(trial, tmp_path):
    first, second = sorted(trial["images"].iterdir())
    image = cv2.imread(str(first))
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "bad.png").write_bytes(first.read_bytes()[:900])
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((400, 600, 3), np.uint8))
    with (
        proxy_that_counts() as (proxy, asked_of_proxy),
        served(
            trial,
            "--max-megapixels",
            "0.2",
            "--examples",
            str(trial["images"]),
            env={"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "ALL_PROXY": proxy},
        ) as url,
        browser_page(viewport={"width": 1280, "height": 900}) as (page, asked, errors),
    ):
        page.goto(url)
        page.wait_for_selector("#drop input[type=file][accept='image/*']", state="attached")
        assert not page.is_visible("#picture") and page.locator("#examples button img").count() == 2

        segment(page, first)
        found = shares(page)
        assert len(found) > 1 and sum(found.values()) == pytest.approx(100, abs=0.3)
        assert f"{first.name}: 64 x 48 pixels" in page.inner_text("#message")
        name, labels = download(page, "#get-labels")
        assert name == "000_labels.png" and labels.shape == (48, 64) and labels.dtype == np.uint8
        for index, label in enumerate(CLASSES):
            assert found.get(label, 0) == pytest.approx(100 * (labels == index).mean(), abs=0.06)

        before = page.get_attribute("#picture img", "src")
        message = page.inner_text("#message")
        page.locator("#opacity input[type=range]").fill("100")
        page.wait_for_function(f"document.querySelector('#picture img').src !== {before!r}")
        page.wait_for_function("document.querySelector('#get-overlay').href?.includes('overlay_100') ?? true")
        assert page.inner_text("#message") == message  # with the seconds of the one run of the model
        name, colours = download(page, "#get-overlay")
        assert name == "000_overlay_100.png"
        assert np.array_equal(colours[..., ::-1], np.array(PALETTE)[labels])
        page.locator("#opacity input[type=range]").fill("0")
        page.wait_for_function("document.querySelector('#picture img').src.includes('overlay_0.')")
        assert np.array_equal(download(page, "#get-overlay")[1], image)

        for path, words in (
            (tmp_path / "notes.txt", "notes.txt is not an image"),
            (tmp_path / "bad.png", "bad.png is damaged or was cut off"),
            (tmp_path / "large.png", "large.png has 600 x 400 = 0.2 million pixels"),
        ):
            page.set_input_files("#drop input[type=file]", path)
            page.wait_for_selector(f"#message .error:has-text('{words}')")
            assert shares(page) == found  # the last good result stays
        with open(tmp_path / "huge.png", "wb") as file:
            file.truncate(101 * 2**20)
        page.set_input_files("#drop input[type=file]", tmp_path / "huge.png")
        page.get_by_text("exceed the maximum allowed size of 100").wait_for()
        assert page.is_visible("text=Drop File Here") and not page.is_visible("#drop .error")
        page.locator("#examples button").nth(1).click()
        page.wait_for_selector(f"#message .note:has-text('{second.name}: ')")
        page.wait_for_selector("#drop input[type=file][accept='image/*']", state="attached")
        segment(page, first)
        assert shares(page) == found

        assert errors == []
        assert [u for u in asked if not u.startswith((url, "data:", "blob:"))] == []
    assert asked_of_proxy == []


@pytest.mark.slow
def test_the_page_on_a_phone(trial):
    first = next(trial["images"].iterdir())
    with (
        served(trial) as url,
        browser_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True) as (
            page,
            _,
            errors,
        ),
    ):
        page.goto(url)
        page.wait_for_selector("#drop input[type=file]", state="attached")
        segment(page, first)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        boxes = [page.locator(part).bounding_box() for part in ("#picture", "#opacity", "#legend")]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 360 for box in boxes)
        assert [box["y"] for box in boxes] == sorted(box["y"] for box in boxes)
        assert boxes[0]["width"] > 300 and errors == []
