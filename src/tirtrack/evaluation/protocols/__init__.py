"""Evaluation protocols by name; each has one small file beside this one."""

from __future__ import annotations

import importlib

from tirtrack.errors import RequestError, did_you_mean
from tirtrack.evaluation.protocols.base import EvaluationProtocol, LengthMode

__all__ = ["EvaluationProtocol", "LengthMode", "get", "names"]

_FILES = {
    "lsotb-tir": "lsotb_tir",
    "lsotb-tir-119": "lsotb_tir_119",
    "lsotb-tir-2023-short": "lsotb_tir_2023_short",
    "lsotb-tir-2023-long": "lsotb_tir_2023_long",
    "ptb-tir": "ptb_tir",
    "ptb-tir-tre": "ptb_tir_tre",
    "ptb-tir-sre": "ptb_tir_sre",
    "otb": "otb",
    "otb-tre": "otb_tre",
    "otb-sre": "otb_sre",
    "lasot": "lasot",
    "lasot-pytracking": "lasot_pytracking",
    "otb-pytracking": "otb_pytracking",
    "uav-pytracking": "uav_pytracking",
    "pysot-ope": "pysot_ope",
    "got10k": "got10k",
    "got10k-otb": "got10k_otb",
    "got10k-lasot": "got10k_lasot",
    "lasher": "lasher",
    "rgbt234": "rgbt234",
    "rgbt234-tir": "rgbt234_tir",
    "rgbt210": "rgbt210",
    "gtot": "gtot",
    "gtot-tir": "gtot_tir",
    "pytracking-prf": "pytracking_prf",
    "vot-supervised": "vot_supervised",
    "vot-supervised-legacy": "vot_supervised_legacy",
    "vot-multistart": "vot_multistart",
    "vot-lt": "vot_lt",
    "antiuav410": "antiuav410",
    "antiuav-2020": "antiuav_2020",
    "antiuav-challenge": "antiuav_challenge",
}


def names() -> tuple[str, ...]:
    """The known protocols.

    >>> names()[:2]
    ('lsotb-tir', 'lsotb-tir-119')
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
