"""References in config files, and what they stand for.

* ``{{_base_.a.b}}``: a value of the bases. Alone, quoted or not, it is the value itself; within
  longer text it is written out.
* ``{{ fileDirname }}``, ``{{ fileBasename }}``, ``{{ fileBasenameNoExtension }}``, ``{{ fileExtname }}``.
* ``{{$NAME:default}}``: an environment variable. Within quotes it is text; outside them it is read
  as an expression of the file's language.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from mmseg.utils.errors import UserError, near_matches

BASE_KEY = "_base_"

TEMPLATE = re.compile(
    r"""\{\{[ \t]*(?:
        _base_\.(?P<base>[\w.]+)
        | (?P<file>file(?:Dirname|BasenameNoExtension|Basename|Extname))
        | ['"]?[ \t]*\$[ \t]*(?P<env>\w+)[ \t]*(?::[ \t]*(?P<default>.*?))?[ \t]*['"]?
    )[ \t]*\}\}""",
    re.VERBOSE,
)
MARKER = re.compile(r"_mmseg_template_(\d+)_")


@dataclass
class Source:
    """The text of one config file, its name for messages and, if it is a file, its path."""

    name: str
    text: str
    path: str | None = None
    variables: bool = True  # whether {{ fileDirname }} and {{$NAME}} mean anything

    @property
    def folder(self) -> str:
        return os.path.dirname(self.path) if self.path else ""

    def at(self, position: int) -> str:
        """Return ``'name, line 3'`` for a position in the text."""
        return f"{self.name}, line {self.text.count(chr(10), 0, position) + 1}"


def base_paths(value: Any, source: Source) -> tuple[str, ...]:
    """The paths that ``_base_`` names, as a tuple."""
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, (list, tuple)) or not all(isinstance(p, str) for p in paths):
        raise UserError(f"{source.name}: `{BASE_KEY}` is a path or a list of paths, not {value!r}")
    return tuple(paths)


def look_up(values: Any, path: str, where: str) -> Any:
    """Follow a dotted path (list indices are digits) through dictionaries and lists."""
    here = values
    for i, step in enumerate(path.split(".")):
        if isinstance(here, dict) and step in here:
            here = here[step]
        elif isinstance(here, (list, tuple)) and step.isdigit() and int(step) < len(here):
            here = here[int(step)]
        else:
            done = ".".join(path.split(".")[:i])
            hint = near_matches(step, here) if isinstance(here, dict) else ""
            raise UserError(
                f"{where}: {{{{{BASE_KEY}.{path}}}}}: the bases have no `{step}`"
                f"{f' in `{done}`' if done else ''}{hint}"
            )
    return here


def template_text(template: re.Match[str], source: Source) -> str:
    """The text that a file's or environment variable stands for."""
    where = source.at(template.start())
    if template["env"]:
        value = os.environ.get(template["env"]) or template["default"]
        if not value:
            raise UserError(
                f"{where}: {template[0]}: the environment has no `{template['env']}`; set it, or write a "
                f"default: {{{{${template['env']}:default}}}}"
            )
        return value
    if source.path is None:
        raise UserError(f"{where}: {template[0]}: this config comes from a string, not from a file")
    path = os.path.abspath(source.path).replace("\\", "/")
    folder, file = os.path.split(path)
    stem, extension = os.path.splitext(file)
    names = {"Dirname": folder, "Basename": file, "BasenameNoExtension": stem, "Extname": extension}
    return names[template["file"].removeprefix("file")]


def find_templates(source: Source) -> list[re.Match[str]]:
    """The references of a file that are to be filled in, in order."""
    return [t for t in TEMPLATE.finditer(source.text) if source.variables or t["base"]]
