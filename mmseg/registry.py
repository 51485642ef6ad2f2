"""Registries: from the ``type`` of a config dictionary to the class that it names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from mmseg.utils.errors import UserError, near_matches


class Registry:
    """A named table of classes or functions.

    Args:
        name: What the entries are, in the singular; error messages use it (``'backbone'``).
        load: Called once before the first look-up, to import the modules that register entries.
    """

    def __init__(self, name: str, load: Callable[[], None] | None = None) -> None:
        self.name = name
        self.module_dict: dict[str, Any] = {}
        self._load = load

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        return len(self.module_dict)

    def __repr__(self) -> str:
        return f"Registry(name={self.name!r}, items={sorted(self.module_dict)})"

    def register_module(
        self,
        name: str | Iterable[str] | None = None,
        force: bool = False,
        module: Any = None,
    ) -> Any:
        """Register ``module`` under its own name or ``name``; without ``module``, a decorator.

        Raises:
            KeyError: the name is taken and ``force`` is false.
        """
        if inspect.isclass(name) or inspect.isfunction(name):  # used as a bare decorator
            return self._add(name, None, force)
        if module is not None:
            return self._add(module, name, force)
        return lambda obj: self._add(obj, name, force)

    def _add(self, obj: Any, name: str | Iterable[str] | None, force: bool) -> Any:
        names = [obj.__name__] if name is None else [name] if isinstance(name, str) else list(name)
        for key in names:
            if not force and self.module_dict.get(key, obj) is not obj:
                raise KeyError(f"{key} is already registered as a {self.name}; pass force=True to replace it")
            self.module_dict[key] = obj
        return obj

    def get(self, key: str) -> Any | None:
        """Return the entry called ``key`` (an ``mmseg.`` prefix is accepted), or None."""
        if self._load is not None:
            load, self._load = self._load, None
            load()
        return self.module_dict.get(key.removeprefix("mmseg."))

    def build(self, cfg: dict[str, Any], default_args: dict[str, Any] | None = None) -> Any:
        """Call the entry that ``cfg['type']`` names with the other items of ``cfg`` as arguments.

        Args:
            cfg: A dictionary with ``type`` (a registered name, or a class or function itself).
            default_args: Arguments that ``cfg`` may override.

        Raises:
            UserError: no ``type``, an unknown ``type``, or an argument that the entry does not take;
                near matches are named.
        """
        if not isinstance(cfg, dict):
            raise UserError(f"a {self.name} is described by a dictionary with `type`, not by {cfg!r}")
        args = {**(default_args or {}), **cfg}
        if "type" not in args:
            raise UserError(f"a {self.name} needs `type`; its keys are {sorted(map(str, args))}")
        kind = args.pop("type")
        entry = self.get(kind) if isinstance(kind, str) else kind
        if entry is None:
            raise UserError(
                f"unknown {self.name} `{kind}`{near_matches(kind, self.module_dict)}"
                f" (known: {', '.join(sorted(self.module_dict))})"
            )
        check_arguments(entry, args)
        return entry(**args)


def check_arguments(entry: Callable[..., Any], args: dict[str, Any]) -> None:
    """Raise ``UserError`` where ``args`` has a name that ``entry`` does not take or lacks one it needs."""
    try:
        parameters = inspect.signature(entry).parameters
    except ValueError:  # some builtins have no signature
        return
    label = getattr(entry, "__name__", str(entry))
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if not open_ended:
        for name in args:
            if name not in parameters:
                raise UserError(
                    f"{label} takes no argument `{name}`{near_matches(name, parameters)}"
                    f" (it takes: {', '.join(parameters)})"
                )
    missing = [
        n
        for n, p in parameters.items()
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and n not in args
    ]
    if missing:
        raise UserError(
            f"{label} needs {', '.join(f'`{n}`' for n in missing)}, which the config does not give"
        )
