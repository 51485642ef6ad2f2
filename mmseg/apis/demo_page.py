"""The page to try a model: its layout in gradio, and the server that shows it on this machine only.

Nothing leaves the machine and nothing is fetched from elsewhere: no telemetry, no fonts, no share link.
"""

from __future__ import annotations

import errno
import html
import importlib.util
import os
import shutil
import signal
import socket
import tempfile
import threading
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import nn

from mmseg.config import Config, check_config
from mmseg.utils.distributed import named_device
from mmseg.utils.errors import UserError
from mmseg.utils.logger import get_root_logger
from mmseg.visualization.overlay import label_map_image, save_image

from .demo import Segmented, blend, legend_html, legend_rows, message_html, segment_upload, summary
from .demo_style import ONLY_IMAGES, STYLE
from .inference import init_segmentor
from .uploads import NAMES_OF_FORMATS, example_images, read_upload

MAX_FILE_BYTES = 100 * 2**20
SHOWN_SIDE = 1600  # pixels; the page shows a smaller picture, the downloads are whole
KEPT_SECONDS = 3600  # a result lives so long after its page was closed
OPACITY = 55  # percent, at first


@dataclass(frozen=True)
class Shown:
    """A result on a page, and the folder of the files that the page shows of it."""

    result: Segmented
    folder: str


def demo_from_args(args: Namespace) -> None:
    """Run ``tools/demo_app.py``: serve the page until Ctrl+C.

    Raises:
        UserError: a mistake in the arguments, config or checkpoint; the port is in use; or no gradio.
    """
    if not 0 < args.max_megapixels <= 170:
        raise UserError(f"--max-megapixels is {args.max_megapixels:g}; it must be above 0 and at most 170")
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    check_config(cfg)
    device = named_device(args.device)
    examples = example_images(args.examples) if args.examples else []
    port = free_port(args.host, args.port)
    model = init_segmentor(cfg, args.checkpoint, device=device)
    if importlib.util.find_spec("gradio") is None:
        raise UserError('the page needs gradio, which is not installed: pip install -e ".[demo]"')
    about = f"{Path(args.config).stem} · {os.path.basename(args.checkpoint)} · {device}"
    # All that the page keeps, uploads too, is in this folder, and goes with it.
    with tempfile.TemporaryDirectory(prefix="mmseg_demo_", ignore_cleanup_errors=True) as folder:
        prepare_environment(folder, args.host)
        page = build_page(
            model, folder, about=about, examples=examples, max_pixels=round(args.max_megapixels * 1e6)
        )
        serve(page, args.host, port)


def free_port(host: str, port: int) -> int:
    """Return ``port`` of ``host`` if it is free (for 0 any that is).

    Raises:
        UserError: it is in use, no port, not ours to take, or ``host`` is no address of this machine.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"--port is {port}; ports are 1 to 65535, and 0 takes any that is free")
    try:
        return _try_port(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            other = f"--port {_next_free(host, port)}"
            raise UserError(
                f"port {port} of {host} is in use, perhaps by another page: try {other}"
            ) from None
        if error.errno == errno.EACCES:
            raise UserError(f"port {port} is reserved for the system; give --port 1024 or higher") from None
        reason = error.strerror or error
        raise UserError(f"cannot listen on {host}: {reason}; --host 127.0.0.1 is this machine") from None


def _try_port(host: str, port: int) -> int:
    """Bind ``port`` and let it go again."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        if os.name == "posix":  # as the server does: a page that was just closed does not hold its port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        return probe.getsockname()[1]


def _next_free(host: str, port: int) -> int:
    for other in range(port + 1, min(port + 50, 65535)):
        try:
            return _try_port(host, other)
        except OSError:
            continue
    return 0


def prepare_environment(folder: str, host: str) -> None:
    """Set what gradio reads: no telemetry, its files in ``folder``, no proxy to its own address."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = folder
    for name in ("NO_PROXY", "no_proxy"):  # it calls its own address once, which no proxy can reach
        before = os.environ.get(name, "")
        os.environ[name] = ",".join(filter(None, [before, host, "localhost", "127.0.0.1"]))


def build_page(
    model: nn.Module,
    folder: str,
    *,
    about: str = "",
    examples: Sequence[str] = (),
    max_pixels: int = 16_000_000,
) -> Any:
    """Lay the page out; returns gradio's ``Blocks``.

    Args:
        model: From ``init_segmentor``.
        folder: Receives the pictures of each page; ``GRADIO_TEMP_DIR``.
        about: One line below the title.
        examples: Paths of images to choose from.
        max_pixels: Larger images are refused.
    """
    import gradio as gr

    small = _small_copies(examples, max_pixels)

    def segment(path: str, name: str, opacity: float, before: Shown | None) -> tuple[Any, ...]:
        """What an image gives: message, result, picture, legend, two files, and what to keep."""
        try:
            result = segment_upload(model, path, name=name, max_pixels=max_pixels)
        except UserError as error:
            nothing = (gr.skip(),) * 5  # what was there stays
            return message_html(str(error), "error"), *nothing, before
        forget(before)
        shown = Shown(result, tempfile.mkdtemp(dir=folder))
        labels = os.path.join(shown.folder, f"{stem_of(result.name)}_labels.png")
        save_image(labels, label_map_image(result.labels))
        legend = legend_html(legend_rows(result.labels, model.CLASSES, model.PALETTE))
        pictures = write_pictures(shown, model, opacity)
        return message_html(summary(result)), gr.Row(visible=True), *pictures, legend, labels, shown

    def from_upload(file: Any, opacity: float, before: Shown | None) -> tuple[Any, ...]:
        if file is None:
            return (*(gr.skip(),) * 6, before, None)
        try:
            name = os.path.basename(file.orig_name or file.path)
            return *segment(file.path, name, opacity, before), None  # None: room for the next one
        finally:
            Path(file.path).unlink(missing_ok=True)

    def from_example(event: Any, opacity: float, before: Shown | None) -> tuple[Any, ...]:
        path = list(small)[event.index]
        return segment(path, os.path.basename(path), opacity, before)

    from_example.__annotations__["event"] = gr.SelectData  # gradio reads the type itself, not its name

    def reblend(opacity: float, shown: Shown | None) -> tuple[Any, Any]:
        return write_pictures(shown, model, opacity) if shown else (gr.skip(), gr.skip())

    private = dict(api_visibility="private")
    with gr.Blocks(title="Try a model", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        gr.HTML(f"<h1>Try a model</h1><p class='about'>{html.escape(about)}</p>", elem_id="head")
        # No `file_types`: gradio would refuse a wrong ending in its own words and cover the field with them.
        # What a file is its content says.
        drop = gr.File(label="Image", height=140, elem_id="drop")
        drop.preprocess = lambda payload: payload  # with the file's original name
        page.load(None, js=ONLY_IMAGES, **private)
        hint = (
            f"{NAMES_OF_FORMATS}, up to {max_pixels / 1e6:g} million pixels."
            " Images stay on the machine that runs this page."
        )
        message = gr.HTML(message_html(hint), elem_id="message")
        with gr.Row(visible=False, elem_id="result") as row:
            with gr.Column(scale=7, min_width=300):
                picture = gr.Image(
                    label="The image under the colours of its classes",
                    show_label=False,
                    interactive=False,
                    buttons=["fullscreen"],
                    elem_id="picture",
                    height="auto",
                )
                slider = gr.Slider(
                    0, 100, OPACITY, step=5, label="Opacity of the colours, %", buttons=[], elem_id="opacity"
                )
                with gr.Row(elem_id="downloads"):
                    overlay_file = gr.DownloadButton("Download overlay", elem_id="get-overlay", size="md")
                    labels_file = gr.DownloadButton("Download labels", elem_id="get-labels", size="md")
            with gr.Column(scale=3, min_width=280):
                legend = gr.HTML(elem_id="legend")
        gallery = _gallery(gr, small) if small else None
        state = gr.State(time_to_live=KEPT_SECONDS, delete_callback=forget)
        outputs = [message, row, picture, overlay_file, legend, labels_file, state]
        one_at_a_time: dict[str, Any] = dict(concurrency_id="model", concurrency_limit=1, **private)
        drop.upload(
            from_upload, [drop, slider, state], [*outputs, drop], show_progress_on=message, **one_at_a_time
        )
        if gallery is not None:
            gallery.select(from_example, [slider, state], outputs, show_progress_on=message, **one_at_a_time)
        slider.input(
            reblend,
            [slider, state],
            [picture, overlay_file],
            show_progress="hidden",
            trigger_mode="always_last",
            **private,
        )
    return page


def _small_copies(paths: Sequence[str], max_pixels: int) -> dict[str, np.ndarray]:
    """RGB pictures of the example images by path; what cannot be read is left out with a warning."""
    small = {}
    for path in paths:
        try:
            image, _ = read_upload(path, max_pixels=max_pixels)
        except UserError as error:
            get_root_logger().warning(f"--examples: {error}; left out")
            continue
        small[path] = np.ascontiguousarray(fitted(image, 320)[..., ::-1])
    return small


def _gallery(gr: Any, small: Mapping[str, np.ndarray]) -> Any:
    return gr.Gallery(
        [(picture, os.path.basename(path)) for path, picture in small.items()],
        label="Examples",
        height="auto",
        allow_preview=False,
        object_fit="cover",
        buttons=[],
        interactive=False,
        elem_id="examples",
    )


def write_pictures(shown: Shown, model: nn.Module, opacity: float) -> tuple[str, str]:
    """Write the overlay at ``opacity`` percent, small to show and whole to keep; returns both paths."""
    for old in Path(shown.folder).glob("*_overlay_*.png"):  # not the small ones: a browser may be reading one
        old.unlink(missing_ok=True)
    result = shown.result
    picture = blend(result.image, result.labels, model.PALETTE, opacity / 100)
    stem = os.path.join(shown.folder, f"{stem_of(result.name)}_overlay_{opacity:g}")
    save_image(f"{stem}.png", picture)
    save_image(f"{stem}.webp", fitted(picture, SHOWN_SIDE))
    return f"{stem}.webp", f"{stem}.png"


def fitted(image: np.ndarray, side: int) -> np.ndarray:
    """The image, made smaller until no side is longer than ``side``."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(n * scale)) for n in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def stem_of(name: str) -> str:
    """A file's name without its ending, of letters that every system takes."""
    stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in os.path.splitext(name)[0])
    return stem[:80] or "image"


def forget(shown: Shown | None) -> None:
    """Remove the files of a result."""
    if shown is not None:
        shutil.rmtree(shown.folder, ignore_errors=True)


def serve(page: Any, host: str, port: int) -> None:
    """Serve ``page`` until Ctrl+C or SIGTERM.

    Raises:
        UserError: the port was taken since it was looked at.
    """
    import gradio as gr

    logger = get_root_logger()
    theme = gr.themes.Default(
        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    try:
        page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=MAX_FILE_BYTES,
            state_session_capacity=16,
            ssr_mode=False,
            footer_links=[],
            theme=theme,
            css=STYLE,
        )
    except OSError as error:
        raise UserError(
            f"cannot serve the page on port {port} of {host}: {error}; try another --port"
        ) from None
    address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
    if host not in ("127.0.0.1", "localhost", "::1"):
        logger.warning(f"--host {host}: whoever reaches this machine over the network can use the page")
    logger.info(f"open {address} in a browser; Ctrl+C ends the page")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        logger.info("the page is closed")
    finally:
        page.close(verbose=False)
