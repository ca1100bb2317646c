"""What computes: the device of torch by name, chosen once by the outermost call, and processors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tirtrack.errors import RequestError

if TYPE_CHECKING:
    import torch


def checked_device(name: str) -> torch.device:
    """A device that this machine has.

    Raises:
        RequestError: it has no such device.

    >>> checked_device("cpu")
    device(type='cpu')
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RequestError(f'there is no device "{name}"', fix="choose cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise RequestError(f'device "{name}" is not supported', fix="choose cpu or cuda")
    found = torch.cuda.device_count() if device.type == "cuda" else 1
    if not found:
        raise RequestError(
            f'device "{name}" was asked for, and torch finds no CUDA here', fix="choose cpu"
        )
    if (device.index or 0) >= found:
        raise RequestError(
            f'there is no device "{name}", the last one is {device.type}:{found - 1}',
            fix="choose cpu or cuda",
        )
    return device


def processors() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
