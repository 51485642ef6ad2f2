"""Tools called in this process: a converter of tools/convert_datasets."""

from __future__ import annotations

import pytest

from tests.helpers_run import run_tool_here


@pytest.fixture
def convert(monkeypatch, capsys):
    """Call ``convert(tool, *arguments)``; it gives what was printed."""

    def call(tool: str, *args: object) -> str:
        run_tool_here(f"convert_datasets/{tool}", *args, "--nproc", 1, monkeypatch=monkeypatch)
        return capsys.readouterr().out

    return call


@pytest.fixture
def refused(convert, capsys):
    """Call ``refused(tool, *arguments)``, which must exit with status 2; it gives the message."""

    def call(tool: str, *args: object) -> str:
        with pytest.raises(SystemExit) as stopped:
            convert(tool, *args)
        assert stopped.value.code == 2
        text = capsys.readouterr().err
        assert text.startswith("error: ") and "Traceback" not in text
        return text

    return call
