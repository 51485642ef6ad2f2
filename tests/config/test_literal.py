"""The config in a checkpoint is read, never run."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from mmseg.config import Config
from mmseg.config.literal import literal_config
from mmseg.utils.checkpoint import read_checkpoint
from mmseg.utils.errors import UserError
from tests.helpers_run import REPO, tiny_config

CHECKPOINTS = REPO / "tests" / "data" / "checkpoints"


def test_what_configs_are_dumped_as_comes_back() -> None:
    config = Config({**tiny_config(Path("data")), "odd": {"a-b": 1, 3: (None, -1.5)}, "far": float("inf")})
    read = literal_config(config.pretty_text, "x.pth")
    assert read._cfg_dict.to_dict() == config._cfg_dict.to_dict()
    assert math.isnan(literal_config("a = float('nan')", "x").a)
    assert literal_config('"""Text."""\na = dict(b=1, **{"c d": [+2]})', "x").a == {"b": 1, "c d": [2]}


@pytest.mark.parametrize("file", sorted(p.name for p in CHECKPOINTS.glob("*.pth")))
def test_the_configs_of_genuine_checkpoints(file: str) -> None:
    meta = read_checkpoint(CHECKPOINTS / file)["meta"]
    text = meta.get("config") or meta.get("cfg")
    if isinstance(text, str):
        assert literal_config(text, file)._cfg_dict == Config.fromstring(text, ".py")._cfg_dict
    else:
        assert text is None


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "a = __import__('os').system('touch MARKER')",
        "a = open('MARKER', 'w')",
        "a = [x for x in (1, 2)]",
        "a = (lambda: 1)()",
        "a = f'{1}'",
        "a = 9 ** 9 ** 9",
        "a = dict([(1, 2)])",
        "a = dict(**[1])",
        "a = {[]: 1}",
        "a = float('x')",
        "a = -'x'",
        "a, b = 1, 2",
        "a = b = 1",
        "a.b = 1",
        "a: int = 1",
        "for a in (1,): pass",
        "class a: pass",
        "a = b",
        "a = b'x'",
    ],
)
def test_a_program_is_not_run(text: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(UserError, match="line 1: .*which is not run; give a config that you trust"):
        literal_config(text.replace("MARKER", str(marker)), "x.pth")
    assert not marker.exists()


@pytest.mark.parametrize(
    "text", ["a = ", "a = '\x00'", "a = " + "-" * 100_000 + "1", f"a = {'[' * 90}{']' * 90}"]
)
def test_what_is_no_config(text: str) -> None:
    with pytest.raises(UserError, match="x.pth"):
        literal_config(text, "x.pth")


def test_nothing_is_imported() -> None:
    config = literal_config("custom_imports = dict(imports=['antigravity'])", "x.pth")
    assert config.custom_imports.imports == ["antigravity"]
    assert "antigravity" not in sys.modules
