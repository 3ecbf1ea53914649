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
        raise ValueError(f"the device {name!r} cannot be used here ({reason}); use auto, cpu, cuda:N or mps") from None
    if device.type == "meta":
        raise ValueError(f"the device {name!r} holds no values; use auto, cpu, cuda:N or mps")
    return device
