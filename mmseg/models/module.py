"""The base class of everything with weights that a config describes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mmseg.models.init import initialize, is_pretrained, load_pretrained
from mmseg.utils.logger import get_root_logger

InitCfg = dict[str, Any] | Sequence[dict[str, Any]] | None
CONTAINERS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)


class BaseModule(nn.Module):
    """A module that knows how its weights begin.

    Building a module never reads a file or the network: it leaves the weights as the layers made
    them. ``init_weights()`` gives them their proper start, in this order: ``default_init`` of the
    module, the entries of ``init_cfg`` that draw numbers, the children's own ``init_weights``, and
    last the ``Pretrained`` entries, so that what a checkpoint holds is never drawn over and what it
    lacks has a proper start.

    Args:
        init_cfg: One description or a list of them, see :func:`mmseg.models.init.initialize`.
    """

    def __init__(self, init_cfg: InitCfg = None) -> None:
        super().__init__()
        self.init_cfg = init_cfg
        self._is_init = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__signature__ = merged_signature(cls)

    @property
    def is_init(self) -> bool:
        """Whether ``init_weights`` has run."""
        return self._is_init

    def default_init(self) -> None:
        """Draw the weights that this kind of module starts from; by default, those of its layers."""

    def adapt_pretrained(self, weights: dict[str, Tensor], source: str) -> dict[str, Tensor]:
        """Turn the weights of a ``Pretrained`` file into this module's, where a class knows how.

        Args:
            weights: Name → tensor, as the file has them.
            source: Where they come from, for messages.
        """
        return weights

    def init_weights(self) -> None:
        """Draw or load the weights; the second call changes nothing and says so."""
        if self._is_init:
            get_root_logger().warning("init_weights of %s ran before; nothing done", type(self).__name__)
            return
        entries = [self.init_cfg] if isinstance(self.init_cfg, dict) else list(self.init_cfg or [])
        self.default_init()
        for entry in entries:
            if not is_pretrained(entry):
                initialize(self, entry)
        _init_children(self)
        for entry in entries:
            if is_pretrained(entry):
                load_pretrained(self, entry)
        self._is_init = True


def _init_children(module: nn.Module) -> None:
    """Give the children their proper start.

    As in 0.25, blocks such as ConvModule that lie in a plain list keep what their constructor or the
    ``init_cfg`` around them drew; modules with an ``init_cfg`` of their own are found there, too.
    """
    in_list = isinstance(module, CONTAINERS)
    for child in module.children():
        if isinstance(child, BaseModule) or (hasattr(child, "init_weights") and not in_list):
            child.init_weights()
        elif isinstance(child, CONTAINERS):
            _init_children(child)


def merged_signature(cls: type) -> inspect.Signature:
    """The arguments that ``cls`` takes, where ``**kwargs`` of a constructor go on to its base class.

    The registries check a config's keys against it, so that a misspelt argument of a base class is
    reported like one of the class itself.
    """
    parameters: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in base.__dict__:
            continue
        own = list(inspect.signature(base.__init__).parameters.values())[1:]
        passes_on = any(p.kind is p.VAR_KEYWORD for p in own)
        for parameter in own:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                parameters.setdefault(parameter.name, parameter.replace(kind=parameter.KEYWORD_ONLY))
        if not passes_on:
            break
    return inspect.Signature(list(parameters.values()))
