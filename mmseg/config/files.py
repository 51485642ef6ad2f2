"""Read config files (Python, YAML, JSON) with the bases that they inherit from."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import logging
import os
import re
from collections.abc import Callable
from typing import Any

from mmseg.config.merge import DELETE_KEY, merge
from mmseg.config.python import parse_python, python_base, run_python
from mmseg.config.size import check_size
from mmseg.config.templates import BASE_KEY, MARKER, TEMPLATE, Source, base_paths, look_up, template_text
from mmseg.config.text import TUPLES_KEY, yaml_classes
from mmseg.utils.errors import UserError, near_matches

SUFFIXES = (".py", ".yaml", ".yml", ".json")


def check_suffix(suffix: str, name: str) -> str:
    """Return ``suffix`` if config files can have it, else raise ``UserError``."""
    if os.path.isdir(name):
        raise UserError(f"{name} is a folder, not a config file")
    if suffix not in SUFFIXES:
        raise UserError(f"{name}: a config file ends in {', '.join(SUFFIXES)}, not in `{suffix}`")
    return suffix


def read_file(
    path: str, *, variables: bool = True, asked_by: tuple[str, ...] = ()
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a config file with its bases.

    Args:
        path: The file.
        variables: Whether to fill in ``{{ fileDirname }}``, its siblings and ``{{$NAME}}``.
        asked_by: The files whose ``_base_`` led here, outermost first.

    Returns:
        The resolved values, and the text of every file read, bases first.

    Raises:
        UserError: the file or a base is missing, cyclic, unreadable, wrong in itself, or at odds with
            another base.
    """
    name = os.path.normpath(path)
    suffix = check_suffix(os.path.splitext(name)[1], name)
    chain = (*asked_by, path)
    if os.path.realpath(path) in map(os.path.realpath, asked_by):
        raise UserError(f"cyclic `{BASE_KEY}`: {' -> '.join(map(os.path.normpath, chain))}")
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(_unreadable(name, error, asked_by)) from error
    return read_text(Source(name, text, path, variables), suffix, chain)


def _unreadable(name: str, error: Exception, asked_by: tuple[str, ...]) -> str:
    """Say which file cannot be read, why, and which file asks for it."""
    asker = f", the `{BASE_KEY}` of {os.path.normpath(asked_by[-1])}," if asked_by else ""
    if not isinstance(error, FileNotFoundError):
        return f"config file {name}{asker} cannot be read: {getattr(error, 'strerror', None) or error}"
    folder, file = os.path.split(name)
    if not os.path.isdir(folder or "."):
        return f"config file {name}{asker} does not exist: there is no folder {folder}"
    return f"config file {name}{asker} does not exist{near_matches(file, sorted(os.listdir(folder or '.')))}"


def read_text(source: Source, suffix: str, chain: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the text of a config; the arguments and results are those of :func:`read_file`."""

    @functools.cache
    def bases(paths: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, str]]:
        return _read_bases(source, paths, chain)

    def reference(path: str, where: str) -> Any:
        if not paths:
            raise UserError(f"{where}: {{{{{BASE_KEY}.{path}}}}}, but the file has no `{BASE_KEY}`")
        return copy.deepcopy(look_up(bases(paths)[0], path, where))

    own = MARKER.search(source.text)
    if own is not None:
        raise UserError(
            f"{source.at(own.start())}: `{own[0]}` is a name of the toolbox's own; choose another"
        )
    if suffix == ".py":
        tree, templates = parse_python(source)
        paths = python_base(tree, templates, source) if any(t["base"] for t in templates) else ()
        values = run_python(tree, templates, source, reference)
    else:
        data, references = _parse_data(source, suffix)
        check_size(data, source.name)
        paths = base_paths(data.get(BASE_KEY, ()), source)

        def resolve(i: int) -> Any:
            return reference(references[i]["base"], source.at(references[i].start()))

        values = _fill_data(data, resolve) if references else data
    paths = base_paths(values.pop(BASE_KEY, ()), source)
    _warn_deprecated(values.pop("_deprecation_", None), source)
    if DELETE_KEY in values:
        raise UserError(
            f"{source.name}: `{DELETE_KEY}` stands at the top level; it belongs inside the dictionary "
            "that is to replace the base's"
        )
    check_size(values, source.name)
    base, texts = bases(paths)
    values = {k: v for k, v in values.items() if not (isinstance(k, str) and k.startswith("__"))}
    return merge(values, base, where=source.name), {**texts, source.name: source.text}


def _read_bases(
    source: Source, paths: tuple[str, ...], chain: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the bases of a file and join them; no two may define the same key."""
    joined: dict[str, Any] = {}
    owner: dict[str, str] = {}
    texts: dict[str, str] = {}
    for relative in paths:
        path = os.path.join(source.folder, os.path.expanduser(relative))
        values, its_texts = read_file(path, asked_by=chain or (source.name,))
        name = os.path.normpath(path)
        twice = [key for key in values if key in joined]
        if twice:
            raise UserError(
                f"{source.name}: its bases {owner[twice[0]]} and {name} both define "
                f"{', '.join(f'`{k}`' for k in twice)}; a key may stand in one base only"
            )
        joined.update(values)
        owner.update(dict.fromkeys(values, name))
        texts.update(its_texts)
    return joined, texts


def _warn_deprecated(info: Any, source: Source) -> None:
    """Log that a file with ``_deprecation_ = dict(expected=..., reference=...)`` is on its way out."""
    if info is None:
        return
    info = info if isinstance(info, dict) else {}
    new = f"; use {info['expected']} instead" if "expected" in info else ""
    more = f" ({info['reference']})" if "reference" in info else ""
    logging.getLogger("mmseg").warning("config file %s is deprecated%s%s", source.name, new, more)


def _parse_data(source: Source, suffix: str) -> tuple[dict[str, Any], list[re.Match[str]]]:
    """Parse YAML or JSON whose variables are filled in and whose references are replaced by markers."""
    references: list[re.Match[str]] = []

    def replace(template: re.Match[str]) -> str:
        within = suffix == ".json" and len(re.findall(r'(?<!\\)"', source.text[: template.start()])) % 2 == 1
        if not template["base"]:
            if not source.variables:
                return template[0]
            text = template_text(template, source)
            return json.dumps(text)[1:-1] if within else text
        references.append(template)
        marker = f"_mmseg_template_{len(references) - 1}_"
        return f'"{marker}"' if suffix == ".json" and not within else marker

    text = TEMPLATE.sub(replace, source.text)
    data = _parse_json(text, source) if suffix == ".json" else _parse_yaml(text, source)
    if not isinstance(data, dict):
        raise UserError(
            f"{source.name}: a config is a mapping of keys to values, not a {type(data).__name__}"
        )
    return data, references


def _parse_json(text: str, source: Source) -> Any:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{source.name}, line {error.lineno}: invalid JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets without end
        raise UserError(f"{source.name}: invalid JSON: {error}") from error
    if isinstance(data, dict):
        paths = data.pop(TUPLES_KEY, ())
        for *parents, last in sorted((p for p in paths if p), key=len, reverse=True):  # innermost first
            with contextlib.suppress(KeyError, IndexError, TypeError):  # the file was edited since
                holder = functools.reduce(lambda here, step: here[step], parents, data)
                holder[last] = tuple(holder[last])
    return data


def _parse_yaml(text: str, source: Source) -> Any:
    import yaml

    try:
        return yaml.load(text, Loader=yaml_classes()[0]) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(f"{source.name}{line}: invalid YAML: {what}") from error
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        # What a tag such as !!int or a date of the 99th month meets in the library.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{source.name}: invalid YAML: a value cannot be read: {reason}") from error


def _fill_data(value: Any, resolve: Callable[[int], Any]) -> Any:
    """Put the bases' values in the place of the markers."""
    if isinstance(value, str):
        whole = MARKER.fullmatch(value)
        return resolve(int(whole[1])) if whole else MARKER.sub(lambda m: str(resolve(int(m[1]))), value)
    if isinstance(value, dict):
        return {_fill_data(k, resolve): _fill_data(v, resolve) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_fill_data(v, resolve) for v in value)
    return value
