"""A device is chosen by its name, or refused by one line."""

import pytest
import torch

from polyhead.system.devices import choose_device


@pytest.mark.parametrize("name", ["cuda:99", "cuda:-1", "toaster", "meta", "xpu", "", "cpu:x"])
def test_devices_that_are_not_there_are_a_value_error_of_one_line(name):
    with pytest.raises(ValueError, match="device") as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)


def test_the_processor_is_always_there():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    assert choose_device("auto", mps=False).type in ("cpu", "cuda")


@pytest.mark.parametrize(
    "cuda, apple, mps, expected",
    [(True, True, True, "cuda"), (False, True, True, "mps"), (False, True, False, "cpu"), (False, False, True, "cpu")],
)
def test_auto_takes_the_quickest_that_is_there_and_wanted(monkeypatch, cuda, apple, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
    assert choose_device("auto", mps=mps).type == expected
