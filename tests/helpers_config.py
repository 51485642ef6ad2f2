"""Config files for tests, written into the working folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmseg.config import Config
from mmseg.utils.errors import UserError

BASE = "num = 19\nname = 'kitti'\nnorm = dict(mean=[1, 2], inner=dict(k=(3, 4)))\n"


def write(**texts: str) -> Path:
    """Write files; ``sub__a`` is ``sub/a.py``, ``a_DOT_yaml`` is ``a.yaml``. Return the path of the last."""
    for name, text in texts.items():
        path = Path(name.replace("__", "/").replace("_DOT_", "."))
        path = path if path.suffix else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path


def error_of(path: str | Path) -> str:
    """The one line that loading ``path`` fails with."""
    with pytest.raises(UserError) as caught:
        Config.fromfile(path)
    message = str(caught.value)
    assert "\n" not in message
    return message
