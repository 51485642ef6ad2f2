"""Weights of a classifier for other classes: the rows of classes that both sides know."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mmseg.utils.errors import UserError, near_matches
from mmseg.utils.load_weights import CLASSIFIER


def class_names_of(checkpoint: Mapping[str, Any]) -> list[str] | None:
    """The class names that a checkpoint of 0.25 (or of 1.x) holds, in the order of its labels; else None."""
    meta = checkpoint.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    newer = meta.get("dataset_meta")
    names = meta.get("CLASSES") or (newer.get("classes") if isinstance(newer, Mapping) else None)
    return [str(name) for name in names] if isinstance(names, (list, tuple)) else None


def matching_classes(
    theirs: Sequence[str], ours: Sequence[str], wanted: bool | Mapping[str, str], source: str
) -> dict[int, int]:
    """Return which of our labels is which of theirs, by name.

    Names are equal whatever their case and whether `-`, `_` or a blank joins their words.

    Args:
        theirs: Names in the checkpoint.
        ours: Names in the data set.
        wanted: True, or a dictionary from names of ours to the names of theirs that they start from, in
            addition to the equal ones.
        source: Where the weights come from, for messages.

    Raises:
        UserError: ``wanted`` names a class that is not there, or nothing agrees.
    """
    if not isinstance(wanted, (bool, Mapping)):
        raise UserError(
            f"transfer_classes is True, False or a dictionary of class names, not {type(wanted).__name__}"
        )
    pairs = {_plain(name): _plain(name) for name in ours}
    for own, other in wanted.items() if isinstance(wanted, Mapping) else ():
        for name, names, whose in ((own, ours, "the data set"), (other, theirs, source)):
            if _plain(name) not in map(_plain, names):
                close = near_matches(name, names)
                raise UserError(
                    f"transfer_classes names the class {name!r}, which {whose} does not have{close}"
                )
        pairs[_plain(own)] = _plain(other)
    labels = {_plain(name): label for label, name in enumerate(theirs)}
    found = {
        label: labels[pairs[_plain(name)]] for label, name in enumerate(ours) if pairs[_plain(name)] in labels
    }
    if not found:
        raise UserError(
            f"transfer_classes: none of the data set's classes ({', '.join(ours)}) is one of {source}"
            f" ({', '.join(theirs)}); leave it out, or give pairs:"
            " transfer_classes=dict(own_name='its name there')"
        )
    return found


def transfer_rows(
    state_dict: Mapping[str, torch.Tensor],
    own: Mapping[str, torch.Tensor],
    matches: Mapping[int, int],
    num_classes: tuple[int, int],
) -> dict[str, torch.Tensor]:
    """Return ``state_dict`` with every classifier in the model's own shape.

    Args:
        state_dict: Of the checkpoint.
        own: Of the model; what no class of the checkpoint matches keeps these values.
        matches: From :func:`matching_classes`.
        num_classes: Of the checkpoint and of the model. A layer with other numbers is left as it is.
    """
    result = dict(state_dict)
    to, at = list(matches.keys()), list(matches.values())
    for name, theirs in state_dict.items():
        if not name.endswith(CLASSIFIER) or name not in own:
            continue
        ours = own[name]
        if (theirs.shape[0], ours.shape[0]) == num_classes and theirs.shape[1:] == ours.shape[1:]:
            rows = ours.detach().clone()
            rows[to] = theirs[at].to(rows)
            result[name] = rows
    return result


def _plain(name: object) -> str:
    return re.sub(r"[\s_\-]+", " ", str(name)).strip().lower()
