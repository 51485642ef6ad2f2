"""Write a config as text that loads back to the same config: Python, YAML, JSON."""

from __future__ import annotations

import functools
import json
import keyword
import math
import os
import re
from collections.abc import Mapping
from typing import Any

from mmseg.config.templates import TEMPLATE
from mmseg.utils.errors import UserError

WIDTH = 110
TUPLES_KEY = "__tuples__"  # in JSON, which has lists only: the paths of those that are tuples
BASIC = (str, bool, int, float, type(None))
PYTHON_TYPES = (bytes, complex, range, set, frozenset)  # their repr() is Python
YAML_TYPES = (bytes, set)
CALLED = ("globals", "range", "frozenset", "set", "float", "dict")  # by the text itself, so set them last


def pretty_text(values: Mapping[Any, Any]) -> str:
    """Return readable Python, one top-level key after the other, that loads back to ``values``.

    What no config file can hold (a class, an open file) is written as the text of its ``repr``.
    """
    return _python(plain(values, extra=PYTHON_TYPES, strict=False))


def dumps(values: Mapping[Any, Any], suffix: str) -> str:
    """Return ``values`` as the text of a file that ends in ``suffix`` (.py, .yaml, .yml or .json).

    Raises:
        UserError: a value or a key cannot be held by such a file.
    """
    if suffix == ".py":
        return _python(plain(values, extra=PYTHON_TYPES))
    if suffix == ".json":
        return _json(plain(values))
    import yaml

    data = plain(values, extra=YAML_TYPES)
    text = yaml.dump(data, Dumper=yaml_classes()[1], sort_keys=False, allow_unicode=True, width=float("inf"))
    return _keep_templates(text, "\\x7b")


def plain(value: Any, *, key: str = "", extra: tuple[type, ...] = (), strict: bool = True) -> Any:
    """Return ``value`` made of plain Python: dictionaries, lists, tuples, strings, numbers, None.

    Arrays and their scalars become lists and numbers, paths become strings.

    Args:
        value: What to convert.
        key: Its dotted path, for messages.
        extra: More types to leave as they are.
        strict: Raise for anything else; otherwise take its ``repr``.

    Raises:
        UserError: ``value`` holds something that has no plain form.
    """
    if isinstance(value, Mapping):
        at = f"{key}." if key else ""
        return {
            plain(k, key=f"{at}{k}", extra=extra, strict=strict): plain(
                v, key=f"{at}{k}", extra=extra, strict=strict
            )
            for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        items = [plain(v, key=f"{key}.{i}", extra=extra, strict=strict) for i, v in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    for kind in BASIC[:-1]:
        if isinstance(value, kind):  # a subclass (an enumeration, numpy.float64) prints as something else
            return value if type(value) in BASIC else str.__str__(value) if kind is str else kind(value)
    if value is None or type(value) in extra:
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist(), key=key, extra=extra, strict=strict)
    if strict:
        raise UserError(
            f"`{key}` is {value!r}; a config file of this kind cannot hold a {type(value).__name__}"
        )
    return repr(value)


def _keep_templates(text: str, escaped: str) -> str:
    """Write ``{{$NAME}}`` and the like within strings so that reading does not fill them in."""
    return TEMPLATE.sub(lambda m: "{" + escaped + m[0][2:], text)


# --- Python ----------------------------------------------------------------------------------------


def _python(values: dict[Any, Any]) -> str:
    lines = []
    for key, value in sorted(
        values.items(), key=lambda item: CALLED.index(item[0]) if item[0] in CALLED else -1
    ):
        name = key if _is_name(key) else f"globals()[{key!r}]"
        lines.append(f"{name} = {_layout(value, 0, len(name) + 3)}\n")
    return _keep_templates("".join(lines), "\\x7b")


def _is_name(key: Any) -> bool:
    # not ASCII: Python normalises such names, so that the key could come back as another one
    return isinstance(key, str) and key.isidentifier() and key.isascii() and not keyword.iskeyword(key)


def _parts(value: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> tuple[str, list[tuple[str, Any]], str]:
    """The opening of a container, its items as (prefix, value), and its closing."""
    if isinstance(value, dict):
        if all(map(_is_name, value)):
            return "dict(", [(f"{k}=", v) for k, v in value.items()], ")"
        return "{", [(f"{_scalar(k)}: ", v) for k, v in value.items()], "}"
    opening, closing = "[]" if isinstance(value, list) else "()"
    return opening, [("", v) for v in value], closing


def _inline(value: Any) -> str:
    if not isinstance(value, (dict, list, tuple)):
        return _scalar(value)
    opening, items, closing = _parts(value)
    comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
    return opening + ", ".join(prefix + _inline(v) for prefix, v in items) + comma + closing


def _scalar(value: Any) -> str:
    if isinstance(value, tuple):  # a dictionary's key
        return _inline(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    return repr(value)


def _layout(value: Any, indent: int, used: int) -> str:
    """Write ``value`` on one line if ``used`` columns leave room, else one item per line."""
    line = _inline(value)
    if used + len(line) <= WIDTH or not isinstance(value, (dict, list, tuple)) or not value:
        return line
    inner = indent + 4
    opening, items, closing = _parts(value)
    if all(prefix == "" and isinstance(v, BASIC) for prefix, v in items):
        rows = _fill([_scalar(v) for _, v in items], WIDTH - inner)
    else:
        rows = [prefix + _layout(v, inner, inner + len(prefix) + 1) + "," for prefix, v in items]
    return "\n".join([opening, *(" " * inner + row for row in rows), " " * indent + closing])


def _fill(words: list[str], width: int) -> list[str]:
    """Set words, each with a comma, into as few rows of ``width`` columns as hold them."""
    rows = [f"{words[0]},"]
    for word in words[1:]:
        if len(rows[-1]) + len(word) + 2 <= width:
            rows[-1] += f" {word},"
        else:
            rows.append(f"{word},")
    return rows


# --- JSON and YAML ---------------------------------------------------------------------------------


def _json(values: dict[Any, Any]) -> str:
    tuples: list[list[Any]] = []

    def visit(value: Any, path: list[Any]) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):
                    name = ".".join(map(str, [*path, key]))
                    raise UserError(
                        f"`{name}`: the keys of JSON are strings, not {key!r}; write .py or .yaml"
                    )
                visit(item, [*path, key])
        elif isinstance(value, (list, tuple)):
            for i, item in enumerate(value):
                visit(item, [*path, i])
            if isinstance(value, tuple):
                tuples.append(path)

    visit(values, [])
    text = json.dumps(values, indent=2, ensure_ascii=False)
    if tuples:
        text = text[:-2] + f',\n  "{TUPLES_KEY}": {json.dumps(tuples)}\n}}'
    return _keep_templates(text, "\\u007b") + "\n"


@functools.cache
def yaml_classes() -> tuple[type, type]:
    """Safe YAML (loader, dumper) that knows tuples, and floats like 1e-5, which YAML 1.1 takes for text."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def read_tuple(loader: Any, node: Any) -> tuple[Any, ...]:
        return tuple(loader.construct_sequence(node, deep=True))

    def write_tuple(dumper: Any, value: tuple[Any, ...]) -> Any:
        return dumper.represent_sequence("tag:yaml.org,2002:python/tuple", value, flow_style=True)

    def write_text(dumper: Any, value: str) -> Any:
        style = None if value.isprintable() and not TEMPLATE.search(value) else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    exponent = re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")
    for cls in (Loader, Dumper):
        cls.add_implicit_resolver("tag:yaml.org,2002:float", exponent, list("-+0123456789"))
    Loader.add_constructor("tag:yaml.org,2002:python/tuple", read_tuple)
    Dumper.add_representer(tuple, write_tuple)
    Dumper.add_representer(str, write_text)
    return Loader, Dumper
