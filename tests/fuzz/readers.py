"""Fuzz the readers of files and command lines: damaged input may give a result or a ``UserError``, no more.

``python -m tests.fuzz.readers --minutes 10`` fuzzes every reader for ten minutes each; what it finds is
printed and kept under ``work_dirs/fuzz``. The same seed gives the same inputs in the same order.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import functools
import io
import itertools
import json
import logging
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors

from mmseg.config import Config, DictAction, check_config
from mmseg.utils.checkpoint import load_into, read_checkpoint, state_dict_of
from mmseg.utils.errors import UserError
from tests.fuzz.mutate import mutate_bytes, mutate_text, mutate_zip
from tests.helpers_pickles import (
    built,
    called,
    dotted,
    integer,
    many,
    mapping,
    name,
    program,
    storage,
    tensor,
    text,
    write_stream,
    write_tar,
    write_zip,
)
from tests.helpers_run import tiny_config

SECONDS = 5  # of the processor, for one input
WAIT = 120  # seconds by the clock, for one that waits instead; a busy machine may well take a while
DATA = Path(__file__).parent.parent / "data" / "checkpoints"


@dataclass
class Finding:
    """One input that did what it should not."""

    reader: str
    case: int
    what: str
    trace: str
    content: bytes


class _Forbidden:
    """Records what Python does while a reader works."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.watched: tuple[str, ...] = ()
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.watched and event.startswith(self.watched):
            self.events.append(f"{event} {str(arguments)[:80]}")


@functools.cache
def _watch() -> _Forbidden:
    """The only one: Python has no way to take an audit hook away again."""
    return _Forbidden()


_EXECUTION = ("exec", "os.", "subprocess.", "socket.", "ctypes.", "marshal.", "pickle.find_class", "pty.")
_HARMLESS = ("os.listdir", "os.scandir", "os.fwalk", "os.walk", "os.getxattr")


# Inputs -------------------------------------------------------------------------------------------

_PYTHON = """_base_ = ["base.py"]
crop_size = (512, 512)
model = dict(
    type='EncoderDecoder', pretrained=None, backbone=dict(_delete_=True, depth=[1, 2], drop=1e-2),
    decode_head=dict(num_classes=19, loss={'type': 'CrossEntropyLoss', 'w': [1.0, -2, None]}))
data = dict(samples_per_gpu=2, root='{{ fileDirname }}/x', crop={{_base_.crop}}, home="{{$HOME:x}}")
optimizer = dict(lr=6e-5, betas=(0.9, 0.999), paramwise_cfg=dict(custom_keys={'norm': dict(decay_mult=0.)}))
for i in (1, 2):
    total = f'{i} of {crop_size}'
"""
_BASE = "crop = (3, 4)\nmodel = dict(backbone=dict(depth=[9], width=5), decode_head=dict(channels=7))\n"
_BASE_VALUES = {"crop": [3, 4], "model": {"backbone": {"depth": [9], "width": 5}, "head": {"channels": 7}}}
_YAML = """_base_: [base.yaml]
model: &m
  type: EncoderDecoder
  backbone: {_delete_: true, depth: [1, 2], drop: 1.0e-2}
  head: !!python/tuple [1, 2.5, ~, "x", 'y', 0x1f, 1_000, 2001-01-01]
copy: {<<: *m, type: Other}
text: |
  several
  lines
where: "{{ fileDirname }}"
crop: "{{_base_.crop}}"
"""
_OPTIONS = (
    'model.backbone.depth="[1,2]" data.samples_per_gpu=4 optimizer.betas=(0.9,0.99) x={"a":1,"b":[2]}'
    " data.train.0.type=LoadImageFromFile a=None b=true c=1e-5 d=x,y,(1,[2,3]) model.neck._delete_=True"
)
_WORDS = (
    *(
        "_base_",
        "_delete_",
        "{{_base_.x}}",
        "{{ fileDirname }}",
        "{{$X:1}}",
        "{{",
        "}}",
        "dict(",
        "[",
        "]",
        "{",
    ),
    *(
        "}",
        "(",
        ")",
        ",",
        "=",
        ":",
        "'",
        '"',
        '"""',
        "\\",
        "\n",
        "\r",
        "\t",
        "\x00",
        "\ufeff",
        "#",
        "- ",
        "? ",
    ),
    *(
        "None",
        "null",
        "true",
        ".nan",
        "1e999",
        "-",
        "9" * 400,
        "0x",
        "é",
        "𝕏",
        "٣",
        "²",
        "\u2028",
        "type",
        "&a ",
        "*a",
    ),
    *(
        "<<: ",
        "!!python/object/apply:os.system [x]",
        "!!python/name:os.system",
        "!!binary |",
        "!!set",
        "!!timestamp x",
    ),
    *(
        "!!int x",
        "!!float 1:2",
        "!x ",
        "%YAML 9.9\n",
        "2001-99-99",
        "!!bool x",
        "!!timestamp 2001-99-99",
        "[" * 5000,
        "&b [*b]",
        "1:99:99",
        "---\n",
        "...\n",
        "lambda: 0",
        "import sys",
        "raise SystemExit",
    ),
    *(
        "_mmseg_template_0_",
        "_mmseg_template_99_",
        "__tuples__",
        "filename = 1\n",
        "[" * 300,
        "{" * 300,
        "(" * 300,
    ),
    *(
        "- " * 300,
        "a." * 300,
        "1 if 1 else ",
        "yield ",
        "return",
        "del x",
        "class A: pass\n",
        "@",
        "await x",
        "*",
    ),
)
_EXTRA = (
    *(
        b"N",
        b"(",
        b"t",
        b"0",
        b"1",
        b"2",
        b"R",
        b"b",
        b"\x81",
        b"\x92",
        b"o",
        b"Q",
        b"]",
        b"}",
        b")",
        b"\x8f",
    ),
    *(
        b"\x90",
        b"\x91",
        b"a",
        b"e",
        b"s",
        b"u",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x88",
        b"\x94",
        b"h\x00",
        b"h\x01",
    ),
    *(integer(-1), integer(2**31 - 1), text(""), text("x"), b"\x8a\x09" + b"\xff" * 8 + b"\x7f", b"C\x01x"),
    *(b"\x82\x01", b"Pstorage\n", b"I01\n", b"I999999999999\n", b"Fnan\n", b"Linf\n", b"G" + bytes(8)),
    *(
        name("os", "system"),
        name("builtins", "getattr"),
        name("builtins", "bytearray"),
        name("torch", "Size"),
    ),
    *(
        name("mmcv", "x"),
        name("collections", "OrderedDict"),
        name("torch", "FloatTensor"),
        name("torch", "float64"),
    ),
    *(
        name("numpy", "dtype"),
        name("torch", "FloatStorage"),
        name("torch", "device"),
        name("_codecs", "encode"),
    ),
    *(name("torch._utils", "_rebuild_tensor_v2"), name("torch._utils", "_rebuild_parameter"), storage()),
    *(name("torch._utils", "_rebuild_sparse_tensor"), name("torch._utils", "_rebuild_qtensor")),
    *(name("torch._utils", "_rebuild_meta_tensor_no_storage"), name("torch", "QInt8Storage")),
    *(
        dotted("builtins", "complex"),
        dotted("collections", "defaultdict"),
        dotted("numpy._core.multiarray", "scalar"),
    ),
)


def _checkpoints(folder: Path) -> list[bytes]:
    f8 = built(called(name("numpy", "dtype"), text("f8"), b"\x89", b"\x88"), many(integer(3), text("<")))
    encoded = called(name("_codecs", "encode"), text("\x00" * 8), text("latin1"))
    array = called(
        name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), many(integer(0)), text("b")
    )
    body = mapping(
        meta=mapping(
            old=called(name("mmcv", "Config")),
            best=called(name("numpy.core.multiarray", "scalar"), f8, encoded),
            array=built(array, many(integer(1), many(integer(1)), f8, b"\x89", encoded)),
            order=called(name("collections", "OrderedDict"), b"](" + many(text("a"), b"N") + b"e"),
        ),
        state_dict=mapping(weight=tensor(many(integer(2), integer(2)), many(integer(2), integer(1)))),
    )
    tar = mapping(a=text("2") + b"Q", b=text("4") + b"Q")
    path = folder / "seed.pth"
    seeds = [write_zip(path, program(body)).read_bytes(), write_stream(path, program(body, 2)).read_bytes()]
    seeds.append(write_tar(path, program(tar, 2)).read_bytes())
    state = {"weight": torch.ones(2, 2), "bias": torch.ones(2), "odd": torch.eye(2).to_sparse()}
    for is_zip in (True, False):
        made = io.BytesIO()
        meta = {"iter": 3, "CLASSES": ("a",), "size": torch.Size([1]), "device": torch.device("cpu")}
        torch.save({"state_dict": state, "meta": meta}, made, _use_new_zipfile_serialization=is_zip)
        seeds.append(made.getvalue())
    seeds.append(to_safetensors({"weight": torch.ones(2, 2), "bias": torch.ones(2)}))
    seeds.append(pickle.dumps({"a": 1}, 2))
    return seeds


# Readers ------------------------------------------------------------------------------------------


class Reader:
    """One thing to fuzz: ``inputs`` of a case, and what takes them."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        (folder / "base.py").write_text(_BASE)
        (folder / "base.json").write_text(json.dumps(_BASE_VALUES))  # which YAML reads too
        (folder / "base.yaml").write_text(json.dumps(_BASE_VALUES))
        self.seeds = _checkpoints(folder) if kind == "checkpoint" else [_seed_text(kind).encode()]

    def case(self, rng: random.Random) -> bytes:
        seed = rng.choice(self.seeds)
        if self.kind != "checkpoint":
            return mutate_text(seed.decode(), rng, _WORDS).encode()
        if seed.startswith(b"PK") and rng.randrange(4):
            return mutate_zip(seed, rng, _EXTRA)
        return mutate_bytes(seed, rng, _EXTRA)

    def read(self, content: bytes) -> None:
        if self.kind == "options":
            parser = argparse.ArgumentParser(exit_on_error=False)
            parser.add_argument("--cfg-options", nargs="+", action=DictAction)
            items = content.decode().split(" ")
            namespace = argparse.Namespace()
            DictAction(["--cfg-options"], "cfg_options", nargs="+")(parser, namespace, items, "--cfg-options")
            config = Config(tiny_config(Path("data")))
            config.merge_from_dict(namespace.cfg_options)
            self._use(config)
        elif self.kind == "checkpoint":
            is_tensors = content[8:9] == b"{"
            path = self.folder / ("case.safetensors" if is_tensors else "case.pth")
            path.write_bytes(content)
            checkpoint = read_checkpoint(path)
            state = state_dict_of(checkpoint, "case")
            load_into(torch.nn.Linear(2, 2), state, purpose="load_from", source="case")
        else:
            path = self.folder / f"case.{ {'python': 'py'}.get(self.kind, self.kind) }"
            path.write_bytes(content)
            self._use(Config.fromfile(path))

    @staticmethod
    def _use(config: Config) -> None:
        """What every tool does with a config next."""
        check_config(config)
        assert isinstance(config.pretty_text, str)

    @property
    def watched(self) -> tuple[str, ...]:
        # A config in Python is a program; it is the only kind that may run.
        return () if self.kind == "python" else _EXECUTION


def _seed_text(kind: str) -> str:
    if kind == "json":
        config = {
            "_base_": ["base.json"],
            "model": {"backbone": {"depth": [1, 2.5, None, True]}},
            "where": "{{ fileDirname }}",
        }
        return json.dumps(config | {"crop": "{{_base_.crop}}"}, indent=1)
    return {"python": _PYTHON, "yaml": _YAML, "options": _OPTIONS}[kind]


READERS = ("yaml", "json", "python", "options", "checkpoint")


# The loop -----------------------------------------------------------------------------------------


def fuzz(
    kind: str, folder: Path, seed: int, stop: Callable[[int], bool], first: int = 0
) -> tuple[int, list[Finding]]:
    """Give ``kind`` damaged inputs until ``stop(number of them)``; return that number, and the findings."""
    logging.disable(logging.CRITICAL)
    reader = Reader(kind, folder)
    for content in reader.seeds:  # everything is imported before anything is watched
        with contextlib.suppress(Exception):
            reader.read(content)
    for codec in ("latin1", "ascii", "raw_unicode_escape", "unicode_escape"):  # of pickles of protocol 0
        codecs.lookup(codec)
    watch = _watch()
    findings: list[Finding] = []
    signal.signal(signal.SIGPROF, _too_long)
    signal.signal(signal.SIGALRM, _too_long)
    for case in itertools.count(first):
        if stop(case - first):
            logging.disable(logging.NOTSET)
            return case - first, findings
        content = reader.case(random.Random(f"{seed} {kind} {case}"))
        problem = _problem(reader, content, watch)
        if problem is not None:
            findings.append(Finding(kind, case, *problem, content))
    raise AssertionError("the count does not end")


def _problem(reader: Reader, content: bytes, watch: _Forbidden) -> tuple[str, str] | None:
    watch.events.clear()
    problem = None
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(WAIT)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            watch.watched = reader.watched
            reader.read(content)
    except UserError as error:
        if not str(error).strip():
            problem = "a UserError that says nothing", traceback.format_exc()
    except BaseException as error:
        problem = f"{type(error).__name__}: {str(error)[:150]}", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        watch.watched = ()
    events = [event for event in watch.events if not event.startswith(_HARMLESS)]
    return (f"it did {events[0]}", "\n".join(events)) if events else problem


def _too_long(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def _until(seconds: float) -> Callable[[int], bool]:
    end = time.monotonic() + seconds
    return lambda _cases: time.monotonic() > end


def _distinct(findings: list[Finding]) -> Iterator[Finding]:
    """One of each kind: by the exception and the last line of ours that it came through."""
    seen = set()
    for finding in findings:
        places = [line.strip() for line in finding.trace.splitlines() if "/mmseg/" in line]
        key = (finding.reader, finding.what[:40], places[-1] if places else "")
        if key not in seen:
            seen.add(key)
            yield finding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="for each reader")
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the first case, to repeat one")
    parser.add_argument("--save", type=Path, default=Path("work_dirs/fuzz"), help="where findings are kept")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, resource.RLIM_INFINITY))
    total = 0
    for kind in args.readers:
        with tempfile.TemporaryDirectory() as folder:
            cases, findings = fuzz(kind, Path(folder), args.seed, _until(60 * args.minutes), args.first)
        distinct = list(_distinct(findings))
        total += len(distinct)
        print(f"{kind}: {cases} inputs, {len(findings)} findings, {len(distinct)} distinct", flush=True)
        for finding in distinct:
            args.save.mkdir(parents=True, exist_ok=True)
            path = args.save / f"{kind}_{args.seed}_{finding.case}"
            path.write_bytes(finding.content)
            print(f"  {path}: {finding.what}\n    " + "\n    ".join(finding.trace.strip().splitlines()[-7:]))
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    os.environ["HOME"] = "/tmp"  # the home folder that templates fill in
    main()
