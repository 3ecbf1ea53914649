"""DeepXDE, imported when it is first asked for: on its PyTorch backend, quiet, and without its side effects."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from types import ModuleType


def import_deepxde() -> ModuleType:
    """DeepXDE on its PyTorch backend; nothing is printed or written, and torch's default device stays.

    Raises:
        ValueError: it is not installed, or was imported with another backend before.
    """
    import torch

    # Without the variable DeepXDE writes a configuration into the home folder, and may ask questions.
    os.environ["DDE_BACKEND"] = "pytorch"
    device = torch.get_default_device()
    try:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
            if "deepxde" not in sys.modules:
                warnings.simplefilter("ignore")
            import deepxde
    except ModuleNotFoundError as error:
        if error.name != "deepxde":
            raise
        raise ValueError("DeepXDE is not installed: pip install 'polyhead[pde]'") from None
    finally:
        # Its import makes an accelerator the default device where there is one; None is torch's own start, without
        # a hook on every call.
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
    backend = getattr(deepxde.backend, "backend_name", None)
    if backend != "pytorch":
        raise ValueError(f"DeepXDE runs on its backend {backend!r} here; import it with DDE_BACKEND=pytorch, or later")
    return deepxde
