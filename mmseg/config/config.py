"""Configs: nested dictionaries with attribute access, read from files and overridden by command lines.

The format is that of MMSegmentation 0.25: Python, YAML or JSON files that inherit from others
through ``_base_`` (see :mod:`mmseg.config.files` and :mod:`mmseg.config.templates`).
"""

from __future__ import annotations

import copy
import importlib
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

from mmseg.config.files import BASE_KEY, Source, check_suffix, read_file, read_text
from mmseg.config.keys import check_config
from mmseg.config.merge import DELETE_KEY, merge
from mmseg.config.options import DictAction
from mmseg.config.size import MAX_DEPTH, check_size
from mmseg.config.text import dumps, pretty_text
from mmseg.utils.errors import UserError, near_matches

__all__ = ["Config", "ConfigDict", "DictAction", "check_config"]

RESERVED = ("filename", "text", "pretty_text")
OUR_PREDECESSORS = ("mmcv", "mmcls", "mmdet", "mmengine", "mmpretrain", "mmseg")


class ConfigDict(dict):
    """A dictionary whose items are attributes too, at every depth.

    Dictionaries put into it become ``ConfigDict``; those of the constructor's argument are copied.
    A missing attribute raises ``AttributeError`` with near matches, a missing item ``KeyError``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        for key, value in dict(*args, **kwargs).items():
            super().__setitem__(key, _copied(value))

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            hint = "" if name.startswith("__") else near_matches(name, self)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            raise AttributeError(
                f"`{name}` is a method of {type(self).__name__}; set the item [{name!r}] instead"
            )
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}{near_matches(name, self)}"
            )
        del self[name]

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, _wrapped(value))

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return the item ``key``, which is set to ``default`` first where it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set items; a dictionary that meets a dictionary updates it, as in MMSegmentation 0.25."""
        for key, value in dict(*args, **kwargs).items():
            old = self.get(key)
            if isinstance(value, dict) and isinstance(old, ConfigDict):
                old.update(value)
            else:
                self[key] = value

    def copy(self) -> ConfigDict:
        """Return a shallow copy."""
        new = type(self)()
        for key, value in self.items():
            dict.__setitem__(new, key, value)
        return new

    __copy__ = copy

    def to_dict(self) -> dict[Any, Any]:
        """Return a deep copy of plain dictionaries, lists and tuples."""
        return _unwrapped(self)


def _copied(value: Any) -> Any:
    """Copy dictionaries (as ``ConfigDict``), lists and tuples, at every depth."""
    if isinstance(value, dict):
        return ConfigDict(value)
    return type(value)(map(_copied, value)) if type(value) in (list, tuple) else value


def _wrapped(value: Any) -> Any:
    """Turn plain dictionaries into ``ConfigDict``; what holds none stays the same object."""
    if isinstance(value, dict):
        return value if isinstance(value, ConfigDict) else ConfigDict(value)
    if type(value) in (list, tuple):
        items = [_wrapped(v) for v in value]
        if any(new is not old for new, old in zip(items, value, strict=True)):
            return type(value)(items)
    return value


def _unwrapped(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _unwrapped(v) for k, v in value.items()}
    return type(value)(map(_unwrapped, value)) if type(value) in (list, tuple) else value


class Config:
    """A whole config: a :class:`ConfigDict` that knows the files it came from.

    Attribute and item access, ``get``, ``pop``, ``update``, ``keys``, ``items``, ``in``, ``len`` and
    iteration are those of the dictionary.

    Args:
        cfg_dict: The values; copied.
        cfg_text: The text that they were read from.
        filename: The file that they were read from.

    Raises:
        UserError: ``cfg_dict`` is no dictionary, or uses a name that means something else here.
    """

    def __init__(
        self,
        cfg_dict: Mapping[str, Any] | None = None,
        cfg_text: str | None = None,
        filename: str | os.PathLike[str] | None = None,
    ) -> None:
        cfg_dict = {} if cfg_dict is None else cfg_dict
        if isinstance(cfg_dict, Config):
            cfg_dict = cfg_dict._cfg_dict
        if not isinstance(cfg_dict, Mapping):
            raise UserError(f"a config is a dictionary, not a {type(cfg_dict).__name__}: {cfg_dict!r}")
        where = filename or "config"
        for key in RESERVED:
            if key in cfg_dict:
                raise UserError(f"{where}: `{key}` is reserved: it is an attribute of every config")
        if BASE_KEY in cfg_dict:
            raise UserError(f"{where}: `{BASE_KEY}` works in files; read them with Config.fromfile")
        self._set(ConfigDict(cfg_dict), None if filename is None else os.fspath(filename), cfg_text or "", {})

    def _set(self, values: ConfigDict, filename: str | None, text: str, sources: dict[str, str]) -> None:
        vars(self).update(_cfg_dict=values, _filename=filename, _text=text, _sources=sources)

    @classmethod
    def fromfile(
        cls,
        filename: str | os.PathLike[str],
        use_predefined_variables: bool = True,
        import_custom_modules: bool = True,
    ) -> Config:
        """Read a .py, .yaml, .yml or .json file with its bases.

        Args:
            filename: The file.
            use_predefined_variables: Whether ``{{ fileDirname }}``, its siblings and environment
                variables are filled in.
            import_custom_modules: Whether the modules of ``custom_imports`` are imported.

        Raises:
            UserError: a file is missing, cyclic or wrong, bases disagree, or a module is missing.
        """
        path = os.fspath(filename)
        values, sources = read_file(os.path.expanduser(path), variables=use_predefined_variables)
        return cls._from_read(values, sources, path, import_custom_modules)

    @classmethod
    def fromstring(cls, cfg_str: str, file_format: str, import_custom_modules: bool = True) -> Config:
        """Read a config from text; its bases are relative to the working folder.

        Args:
            cfg_str: The text.
            file_format: ``'.py'``, ``'.yaml'``, ``'.yml'`` or ``'.json'``.
            import_custom_modules: Whether the modules of ``custom_imports`` are imported.

        Raises:
            UserError: as :meth:`fromfile`.
        """
        name = "config text"
        suffix = check_suffix(f".{file_format.lstrip('.')}", name)
        values, sources = read_text(Source(name, cfg_str), suffix, ())
        return cls._from_read(values, sources, None, import_custom_modules)

    @classmethod
    def _from_read(
        cls, values: dict[str, Any], sources: dict[str, str], filename: str | None, import_modules: bool
    ) -> Config:
        text = "\n".join(f"{name}\n{text}" for name, text in sources.items())
        config = cls(values, cfg_text=text, filename=filename)
        config._sources.update(sources)
        if import_modules:
            import_custom(config.get("custom_imports"), where=filename or "config text")
        return config

    @property
    def filename(self) -> str | None:
        """The file that the config was read from, as it was given."""
        return self._filename

    @property
    def text(self) -> str:
        """Name and text of every file that was read, bases first."""
        return self._text

    @property
    def pretty_text(self) -> str:
        """The resolved config as readable Python that loads back to it."""
        return pretty_text(self._cfg_dict)

    def merge_from_dict(self, options: Mapping[str, Any], allow_list_keys: bool = True) -> None:
        """Set values by dotted keys, such as ``{'data.train.pipeline.0.type': 'LoadImageFromFile'}``.

        Args:
            options: Keys and values; a dictionary merges into the one that is there.
            allow_list_keys: Whether digits are indices where the config has a list.

        Raises:
            UserError: a key leads into something that is no dictionary or list, or out of a list.
        """
        values: dict[str, Any] = self._cfg_dict
        for key, value in sorted(options.items(), key=lambda item: not item[0].endswith(DELETE_KEY)):
            where = f"override `{key}`"
            parts = key.split(".")
            if not all(parts):
                raise UserError(f"{where}: a part of the key is empty")
            if len(parts) > MAX_DEPTH:
                raise UserError(f"{where[:80]}...: its key has {len(parts)} parts, more than {MAX_DEPTH}")
            check_size({key: value}, where)
            for part in reversed(parts):
                value = {part: value}
            values = merge(value, values, where=where, list_keys=allow_list_keys)
        vars(self)["_cfg_dict"] = ConfigDict(values)

    def dump(self, file: str | os.PathLike[str] | None = None) -> str | None:
        """Write the resolved config so that it loads back equal.

        Args:
            file: Where to, its suffix tells the format. Without it the text is returned, in the format
                of :attr:`filename` (Python if there is none).

        Raises:
            UserError: an unsupported suffix, an unwritable file, or a value that no config file can hold.
        """
        name = self._filename or "config.py" if file is None else os.fspath(file)
        text = dumps(self._cfg_dict, check_suffix(os.path.splitext(name)[1], name))
        if file is None:
            return text
        try:
            with open(name, "w", encoding="utf-8") as stream:
                stream.write(text)
        except OSError as error:
            raise UserError(f"cannot write the config to {name}: {error.strerror}") from error
        return None

    def copy(self) -> Config:
        """Return a shallow copy: setting its top-level keys leaves this config as it is."""
        new = type(self).__new__(type(self))
        new._set(self._cfg_dict.copy(), self._filename, self._text, self._sources)
        return new

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Config:
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new._set(copy.deepcopy(self._cfg_dict, memo), self._filename, self._text, dict(self._sources))
        return new

    def __getstate__(self) -> tuple[Any, ...]:
        return self._cfg_dict, self._filename, self._text, self._sources

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._set(*state)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_cfg_dict", "_filename", "_text", "_sources"):
            raise AttributeError(name)  # asked by copy and pickle before there is any state
        return getattr(self._cfg_dict, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in RESERVED:
            raise AttributeError(f"`{name}` of a config cannot be set")
        setattr(self._cfg_dict, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._cfg_dict, name)

    def __getitem__(self, key: str) -> Any:
        return self._cfg_dict[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._cfg_dict[key] = value

    def __delitem__(self, key: str) -> None:
        del self._cfg_dict[key]

    def __contains__(self, key: object) -> bool:
        return key in self._cfg_dict

    def __iter__(self) -> Iterator[str]:
        return iter(self._cfg_dict)

    def __len__(self) -> int:
        return len(self._cfg_dict)

    def __eq__(self, other: object) -> bool:
        other = other._cfg_dict if isinstance(other, Config) else other
        return self._cfg_dict == other if isinstance(other, dict) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Config (path: {self._filename}): {self._cfg_dict!r}"


def import_custom(custom_imports: Any, where: str) -> None:
    """Import the modules of ``custom_imports = dict(imports=[...], allow_failed_imports=False)``.

    A module that cannot be imported is a warning where ``allow_failed_imports`` is true. So it is for
    modules of OpenMMLab packages, which old files name and this toolbox replaces: should a ``type`` be
    missing then, its registry says so.

    Raises:
        UserError: any other module that cannot be imported.
    """
    if not custom_imports:
        return
    if not isinstance(custom_imports, dict):
        raise UserError(f"{where}: `custom_imports` is a dictionary with `imports`, not {custom_imports!r}")
    names = custom_imports.get("imports") or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
        raise UserError(f"{where}: `custom_imports.imports` is a list of module names, not {names!r}")
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            what = f"{where}: `custom_imports`: cannot import `{name}`: {' '.join(str(error).split())}"
            missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
            replaced = name.split(".")[0] in OUR_PREDECESSORS and f"{name}.".startswith(f"{missing}.")
            if not (replaced or custom_imports.get("allow_failed_imports", False)):
                hint = "; is its folder on PYTHONPATH?" if missing else f" ({type(error).__name__})"
                raise UserError(f"{what}{hint}") from error
            logging.getLogger("mmseg").warning("%s; carrying on without it", what)
