"""A device is chosen by its name, or refused by one line."""

import pytest
import torch

from polyhead.devices import choose_device


@pytest.mark.parametrize("name", ["cuda:99", "cuda:-1", "toaster", "meta", "xpu", "", "cpu:x"])
def test_devices_that_are_not_there_are_a_value_error_of_one_line(name):
    with pytest.raises(ValueError, match="device") as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)


def test_the_processor_is_always_there():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    assert choose_device("auto", mps=False).type in ("cpu", "cuda")
