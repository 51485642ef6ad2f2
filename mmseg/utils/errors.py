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


def run_tool(main: Callable[[], None]) -> None:
    """Run the ``main`` of a command line tool: one line and status 2 for a ``UserError``.

    ``MMSEG_DEBUG=1`` shows the traceback as well.
    """
    try:
        main()
    except UserError as error:
        if os.environ.get("MMSEG_DEBUG"):
            raise
        rank = os.environ.get("RANK", "0")
        print(f"error: {error}" if rank == "0" else f"error on rank {rank}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
