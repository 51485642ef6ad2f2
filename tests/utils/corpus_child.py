"""Read files in a process of their own, with little memory, while everything that Python does is recorded.

``python -m tests.utils.corpus_child READER FILES...`` prints one JSON object per file: what it gave
(``UserError``, another exception or ``ok``), the message, the forbidden events, seconds and bytes.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 20  # for one file; the machine may be busy
MEMORY = 2**30  # beyond what the imports took

FORBIDDEN = (
    *("exec", "compile", "import", "code.__new__", "function.__new__", "marshal.", "pickle.find_class"),
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile", "pty.spawn"),
    *("os.remove", "os.rename", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "shutil."),
    *("subprocess.", "socket.", "ctypes.", "urllib.", "ftplib.", "smtplib.", "webbrowser.", "cpython."),
)


def reader_of(kind: str, scratch: Path) -> Callable[[str], Any]:
    """The function that takes the path of a file; it is imported, and has run once, when this returns."""
    import encodings.cp437  # noqa: F401  (of the names in zip archives)

    import torch

    from mmseg.utils.checkpoint import load_checkpoint, read_checkpoint

    genuine = scratch / "genuine.pth"
    torch.save({"state_dict": {"weight": torch.ones(2, 2), "bias": torch.ones(2)}}, genuine)
    if kind == "read_checkpoint":
        reader: Callable[[str], Any] = read_checkpoint
    elif kind == "load_checkpoint":
        reader = lambda path: load_checkpoint(torch.nn.Linear(2, 2), path)  # noqa: E731
    elif kind == "publish":
        from mmseg.apis.publish import publish_checkpoint

        reader = lambda path: publish_checkpoint(path, str(scratch / "out"))  # noqa: E731
    elif kind == "convert":
        from mmseg.conversion.weights_command import convert_file

        reader = lambda path: convert_file("resnet", path, str(scratch / "out.pth"), force=True)  # noqa: E731
    elif kind == "find_latest":
        from mmseg.utils.checkpoint import find_latest_checkpoint

        def reader(path: str) -> Any:  # a work dir whose latest.pth is the file
            from mmseg.utils.errors import UserError

            if find_latest_checkpoint(path) is None:
                raise UserError(f"nothing in {path}")

    else:
        from mmseg.apis.uploads import read_upload

        reader = read_upload
    for warm in (genuine, scratch / "none.pth", scratch / "none.safetensors"):
        with contextlib.suppress(Exception):
            reader(str(warm))
    (scratch / "text.pth").write_text("some text")
    for error in ("text.pth", "text.safetensors"):
        (scratch / error).write_bytes(b"\x80\x02K\x01.")
        with contextlib.suppress(Exception):
            reader(str(scratch / error))
    return reader


def main() -> None:
    kind, scratch, *paths = sys.argv[1:]
    read = reader_of(kind, Path(scratch))
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + MEMORY, resource.RLIM_INFINITY))
    events: list[str] = []
    is_on = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if is_on and event.startswith(FORBIDDEN):
            events.append(f"{event} {str(arguments)[:80]}")

    def too_long(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    sys.addaudithook(hook)
    signal.signal(signal.SIGALRM, too_long)
    for path in paths:
        events.clear()
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result, message = "ok", ""
        signal.alarm(SECONDS)
        is_on = True
        try:
            read(path)
        except BaseException as error:
            result, message = type(error).__name__, str(error)
        is_on = False
        signal.alarm(0)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        record = dict(path=path, result=result, message=message, events=list(events))
        record |= dict(seconds=time.perf_counter() - start, grown=grown * 1024)
        print("RESULT " + json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
