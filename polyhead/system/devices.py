"""The device that computes: by name, or the best that is there."""

from __future__ import annotations

import torch


def choose_device(name: str, *, mps: bool = True) -> torch.device:
    """The device of that name; "auto" takes CUDA, then MPS if `mps` is set, then the CPU.

    Raises:
        ValueError: no such device on this machine, or one that holds no values (meta).
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if mps and torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as failure:
        reason = str(failure).splitlines()[0]
        if reason.startswith("Expected one of"):  # what follows are the names of all that torch was ever ported to
            reason = "there is no such kind of device"
        raise ValueError(f"the device {name!r} cannot be used here ({reason}); {_those_here()}") from None
    if device.type == "meta":
        raise ValueError(f"the device {name!r} holds no values; {_those_here()}")
    return device


def _those_here() -> str:
    names = ["auto", "cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    names += ["mps"] if torch.backends.mps.is_available() else []
    return f"this machine has {', '.join(names)}"
