"""The lines of a preflight: what was looked at, how it stands, what to do; and their table."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from mmseg.utils.errors import UserError, one_line
from mmseg.utils.explained import explain

OK, WARNING, FAULT = "OK", "warning", "fault"


@dataclass(frozen=True)
class Line:
    """One thing that was looked at.

    Attributes:
        status: ``OK``, ``warning`` (training runs, but look at it) or ``fault`` (it would stop).
        what: A few words: ``data.train``, ``disk``, ...
        told: What was found, with the numbers, and what to do.
    """

    status: str
    what: str
    told: str


@dataclass
class Lines:
    """Collects the lines of one preflight."""

    lines: list[Line] = field(default_factory=list)

    def ok(self, what: str, told: str) -> None:
        self.lines.append(Line(OK, what, told))

    def warning(self, what: str, told: str) -> None:
        self.lines.append(Line(WARNING, what, told))

    def fault(self, what: str, told: str) -> None:
        self.lines.append(Line(FAULT, what, told))

    @property
    def faults(self) -> list[Line]:
        return [line for line in self.lines if line.status == FAULT]

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Make a fault of what a user can put right, and go on; every other error is a bug of ours."""
        try:
            yield
        except UserError as error:
            self.fault(what, one_line(str(error)))
        except Exception as error:
            told = explain(error)
            if told is None:
                raise
            self.fault(what, told)


def show(lines: Sequence[Line]) -> None:
    """Print the lines: a table on a terminal, elsewhere one line of text each."""
    if not sys.stdout.isatty():
        width = max((len(line.what) for line in lines), default=0)
        for line in lines:
            print(f"{line.status:<7}  {line.what:<{width}}  {line.told}")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {OK: "green", WARNING: "yellow", FAULT: "bold red"}
    table = Table(box=box.SIMPLE_HEAD, show_header=False)
    for line in lines:
        table.add_row(Text(line.status, style=colours[line.status]), Text(line.what), Text(line.told))
    Console().print(table)
