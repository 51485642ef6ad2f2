"""What stands in the documentation: its fenced blocks, the commands in them, its links and paths."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *(
            ROOT / name
            for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "checkpoints/README.md")
        ),
        *(ROOT / "docs").glob("*.md"),
    ]
)

_FENCE = re.compile(r"^(`{3,})(\w*)[^\n]*$")
_OPENS = {"for": 1, "while": 1, "if": 1, "done": -1, "fi": -1}


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, the heading above it, its text."""

    page: str
    line: int
    language: str
    heading: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that a first line such as ``# my_config.py`` says this is, or None."""
        found = re.match(r"#\s*([\w./-]+\.(?:py|sh|txt|yaml))\s*$", self.text.partition("\n")[0])
        return found[1] if found else None


@dataclass(frozen=True)
class Command:
    """One command of a ``bash`` block, its continued lines joined."""

    page: str
    line: int
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def words(self) -> list[str]:
        """The words of the command, without comments."""
        return shlex.split(self.text, comments=True)


def relative(page: Path) -> str:
    """The path of ``page`` from the root, as the tests name it."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page in one of ``languages`` (all of them if none is given)."""
    blocks: list[Block] = []
    heading, fence, start, lines, language = "", "", 0, [], ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        found = _FENCE.match(line)
        if fence:
            if found and line.strip() == fence:
                blocks.append(Block(relative(page), start + 1, language, heading, "\n".join(lines) + "\n"))
                fence = ""
            else:
                lines.append(line)
        elif found:
            fence, language, start, lines = found[1], found[2], number, []
        elif line.startswith("#"):
            heading = line.lstrip("#").strip()
    assert not fence, f"{page}: the block that opens in line {start} is not closed"
    return [b for b in blocks if not languages or b.language in languages]


def prose_of(page: Path) -> list[tuple[int, str]]:
    """The lines outside fenced blocks, numbered from 1."""
    lines, inside = [], False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            lines.append((number, line))
    return lines


def commands_of(block: Block) -> list[Command]:
    """Split a ``bash`` block into its commands; a loop is one command."""
    commands: list[Command] = []
    held: list[str] = []
    depth, start = 0, block.line
    for number, line in enumerate(block.text.splitlines(), block.line):
        bare = line.partition(" #")[0].rstrip()
        if not held and (not bare.strip() or bare.lstrip().startswith("#")):
            continue
        if not held:
            start = number
        held.append(line)
        depth += sum(_OPENS.get(word, 0) for word in re.split(r"[\s;]+", bare))
        if not depth and not bare.endswith("\\"):
            commands.append(Command(block.page, start, "\n".join(held).strip()))
            held = []
    assert not held, f"{block.name}: a command of this block does not end"
    return commands


def all_commands() -> list[Command]:
    """Every command of every page."""
    blocks = [b for page in PAGES for b in blocks_of(page, "bash", "sh", "shell", "console")]
    return [command for block in blocks for command in commands_of(block)]


def all_python() -> list[Block]:
    """Every ``python`` block of every page but CONTRIBUTING.md, which has tests of its own."""
    return [b for page in PAGES if page.name != "CONTRIBUTING.md" for b in blocks_of(page, "python")]
