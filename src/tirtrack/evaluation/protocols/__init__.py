"""Evaluation protocols by name; each has one small file beside this one."""

from __future__ import annotations

import importlib

from tirtrack.errors import RequestError, did_you_mean
from tirtrack.evaluation.protocols.base import EvaluationProtocol, LengthMode

__all__ = ["EvaluationProtocol", "LengthMode", "get", "names"]

_FILES = {
    "lsotb-tir": "lsotb_tir",
    "lsotb-tir-119": "lsotb_tir_119",
    "ptb-tir": "ptb_tir",
}


def names() -> tuple[str, ...]:
    """The known protocols.

    >>> names()
    ('lsotb-tir', 'lsotb-tir-119', 'ptb-tir')
    """
    return tuple(_FILES)


def get(name: str) -> EvaluationProtocol:
    """The protocol of that name.

    Raises:
        RequestError: the name is unknown; the message gives the nearest one.
    """
    if name not in _FILES:
        raise RequestError(f'unknown protocol "{name}"', fix=did_you_mean(name, _FILES))
    protocol: EvaluationProtocol = importlib.import_module(f"{__name__}.{_FILES[name]}").PROTOCOL
    return protocol
