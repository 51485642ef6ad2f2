"""Showing things: in a notebook below its cell, elsewhere as text."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mmseg.apis import get_root_logger
from mmseg.apis.notebook import image_grid, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".bmp")
_FILMS = (".mp4", ".webm", ".ogv", ".mov")
_LEFT_OUT = ("mode", "inner_iter", "iters_per_epoch")  # of the tables of a log
# Long messages at the start of a run, which its log file has.
_ONLY_IN_THE_FILE = ("environment:\n", "config:\n")


def image_plots(
    images: Sequence[Any],
    captions: Sequence[str] | None = None,
    rows: int | None = None,
    cols: int | None = None,
    clip: bool = True,
    normalize: bool = False,
    gray: bool = False,
    write_to_file: str | os.PathLike[str] | None = None,
    viz: bool = True,
) -> Figure:
    """Draw pictures in rows and columns.

    Args:
        images: Each a path, or an array or tensor: (H, W) or (H, W, 3) in RGB order, or with the channels
            first. Integers are from 0 to 255, other numbers from 0 to 1.
        captions: One line for each picture.
        rows, cols: Of the grid; what is None follows from the number of pictures.
        clip: Cut values outside that range off; else a one-channel picture is shown in its own range.
        normalize: Stretch each picture from black to white.
        gray: Show in grey instead of in colours.
        write_to_file: An image to write as well; the ending gives the format.
        viz: Show the figure, where this is a notebook.

    Returns:
        The figure.

    Raises:
        ValueError: the pictures do not fit into the grid, or one is none; the file cannot be written.
    """
    figure = image_grid(images, captions, rows, cols, clip, normalize, gray)
    if write_to_file is not None:
        write_figure(figure, write_to_file)
    if viz:
        show(figure)
    return figure


def display_tool(url: str | os.PathLike[str], width: int | str = "100%", height: int = 600) -> Any:
    """Show what an address or a file holds: a picture, a film or a page.

    A browser fetches it, this process does not; a picture that is a file of this machine goes into the
    notebook. Outside of a notebook the address is printed.

    Args:
        url: An address or a path.
        width, height: Of the frame of a page or film, in pixels (the width also in percent).

    Returns:
        What was displayed, of ``IPython.display``; outside of a notebook the address.
    """
    url = os.fspath(url)
    if not in_notebook():
        print(url)
        return url
    display = _display()
    is_file = os.path.isfile(url)
    kind = os.path.splitext(url.partition("?")[0])[1].lower()
    if kind == ".svg" and is_file:
        with open(url, encoding="utf-8") as file:
            shown: Any = display.HTML(file.read())
    elif kind in _PICTURES:
        shown = display.Image(filename=url) if is_file else display.Image(url=url)
    elif kind in _FILMS:
        size = width if isinstance(width, int) else None
        source = {"filename": url, "embed": True} if is_file else {"url": url}
        shown = display.Video(**source, width=size)
    else:
        shown = display.IFrame(url, width=width, height=height)
    display.display(shown)
    return shown


def show(figure: Figure | str) -> None:
    """Show a figure, or the picture in a file, below the notebook's cell; nothing elsewhere."""
    if not in_notebook():
        return
    display = _display()
    if isinstance(figure, str):
        display.display(display.Image(filename=figure))
        return
    png = io.BytesIO()
    figure.savefig(png, format="png")
    display.display(display.Image(data=png.getvalue(), format="png"))


def show_charts(charts: dict[str, str]) -> None:
    """Show the pictures of a result; outside of a notebook say where they are."""
    for name, path in charts.items():
        show(path)
        if not in_notebook():
            print(f"{name}: {path}")


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it; nothing here needs it otherwise
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def _display() -> Any:
    return importlib.import_module("IPython.display")


@contextlib.contextmanager
def tidy_output() -> Iterator[None]:
    """Keep a run's output readable: the environment and the config go to the log file alone, and in a
    notebook, which has errors in red, log lines and progress go to the standard output."""
    consoles = [h for h in get_root_logger().handlers if not isinstance(h, logging.FileHandler)]
    for console in consoles:
        console.addFilter(_is_short)
    try:
        with contextlib.redirect_stderr(sys.stdout) if in_notebook() else contextlib.nullcontext():
            yield
    finally:
        for console in consoles:
            console.removeFilter(_is_short)


def _is_short(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_ONLY_IN_THE_FILE)


def print_text(txt: str | os.PathLike[str]) -> str:
    """Print a text, or the content of a file: tables for a JSON log, indented JSON, else as it is.

    Args:
        txt: A text, or the path of a text file.

    Returns:
        What was printed.
    """
    is_file = isinstance(txt, os.PathLike) or ("\n" not in txt and os.path.isfile(txt))
    text = str(txt)
    if is_file:
        with open(txt, encoding="utf-8", errors="replace") as file:
            text = readable(os.fspath(txt), file.read())
        print(f"{os.fspath(txt)}\n{'-' * len(os.fspath(txt))}")
    print(text)
    return text


def readable(name: str, content: str) -> str:
    """The content of the file ``name`` as a reader wants it."""
    if name.endswith(".json"):
        with contextlib.suppress(ValueError):
            return json.dumps(json.loads(content), indent=2, ensure_ascii=False)
        records = []
        for line in content.splitlines():
            with contextlib.suppress(ValueError):
                records.append(json.loads(line))
        records = [record for record in records if isinstance(record, dict)]
        tables = [records_table([r for r in records if r.get("mode") == mode]) for mode in ("train", "val")]
        if any(tables):
            return "\n\n".join(table for table in tables if table)
    return content.rstrip("\n")


def records_table(records: Sequence[dict[str, Any]]) -> str:
    """Log records as a table of text; the scores of single classes are left out."""
    if not records:
        return ""
    known = dict.fromkeys(key for record in records for key in record)
    columns = [key for key in known if key not in _LEFT_OUT and not _of_a_class(key)]
    rows = [columns, *([_short(record.get(key)) for key in columns] for record in records)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([f"{records[0].get('mode', '')}:", *lines])


def _of_a_class(key: str) -> bool:
    return key.partition(".")[0] in ("IoU", "Acc", "Dice", "Fscore", "Precision", "Recall") and "." in key


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
