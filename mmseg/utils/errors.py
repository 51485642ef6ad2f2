"""The one exception that means 'the user can fix this'."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable


class UserError(ValueError):
    """A mistake in a config, a command line or a data set.

    Its message is complete for the user: what is wrong, where, and what to do. The command line
    tools print it as one line and exit with status 2; every other exception is a bug of ours and
    keeps its traceback.
    """


def near_matches(name: str, known: Iterable[str]) -> str:
    """Return ``'; did you mean `a` or `b`?'`` for names close to ``name``, else an empty string."""
    by_lower = {str(k).lower(): str(k) for k in known}
    close = [by_lower[m] for m in difflib.get_close_matches(str(name).lower(), by_lower, n=3, cutoff=0.6)]
    return f"; did you mean {' or '.join(f'`{c}`' for c in close)}?" if close else ""


LONGEST = 1600  # signs of a line on the terminal


def one_line(text: str) -> str:
    """``text`` as a single line of printable signs, of at most some ``LONGEST``: what it quotes (a key, the
    name of a file) may hold line breaks and what a terminal takes as a command."""
    joined = " ".join(part for part in map(str.strip, text.splitlines()) if part)
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined)
    if len(plain) <= LONGEST:
        return plain
    return f"{plain[: LONGEST * 2 // 3]} [...] {plain[-LONGEST // 3 :]}"


def run_tool(main: Callable[[], None]) -> None:
    """Run the ``main`` of a command line tool: one line and status 2 for a ``UserError``, and for what torch
    says that a user can do something about (memory at its end, batch normalisation of one value).

    ``MMSEG_DEBUG=1`` shows the traceback as well.
    """
    try:
        main()
    except UserError as error:
        if os.environ.get("MMSEG_DEBUG"):
            raise
        _end(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        from mmseg.utils.explained import explain

        told = explain(error)
        if told is None or os.environ.get("MMSEG_DEBUG"):
            raise
        _end(told)


def _end(message: str) -> None:
    """Print the line and leave."""
    rank = os.environ.get("RANK", "0")
    told = "\n  ".join(one_line(line) for line in message.split("\n  "))  # a list, one entry a line
    print(f"error: {told}" if rank == "0" else f"error on rank {rank}: {told}", file=sys.stderr)
    sys.exit(2)
