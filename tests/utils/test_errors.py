"""One line and status 2 for what a user can put right."""

from __future__ import annotations

from typing import Any

import pytest

from mmseg.utils.errors import LONGEST, UserError, one_line, run_tool


def ended(error: BaseException, capsys: Any) -> tuple[int, str]:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        run_tool(main)
    return stopped.value.code, capsys.readouterr().err


def test_a_key_with_line_breaks_gives_one_line(capsys: Any) -> None:
    status, err = ended(UserError("unknown key `a\n\nb\r\x1b[31m\u2028c`; leave it out"), capsys)
    assert status == 2
    assert err == "error: unknown key `a b \\x1b[31m c`; leave it out\n"


def test_a_very_long_one_is_shortened_in_its_middle() -> None:
    text = one_line("first " + "x" * 10_000 + " last")
    assert len(text) < LONGEST + 10
    assert text.startswith("first ") and text.endswith(" last") and "[...]" in text


def test_other_languages_are_left_alone() -> None:
    assert one_line("die Straße ist 路 — ok") == "die Straße ist 路 — ok"


def test_ranks_are_named(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    assert ended(UserError("no"), capsys) == (2, "error on rank 3: no\n")


def test_bugs_keep_their_traceback() -> None:
    with pytest.raises(KeyError):
        run_tool(lambda: {}["x"])


@pytest.mark.parametrize("error", [UserError("no"), MemoryError()])
def test_debugging_shows_where(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSEG_DEBUG", "1")

    def main() -> None:
        raise error

    with pytest.raises(type(error)):
        run_tool(main)


def test_an_interrupt(capsys: Any) -> None:
    assert ended(KeyboardInterrupt(), capsys) == (130, "interrupted\n")
