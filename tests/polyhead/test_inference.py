"""Quick backends give the plain model's answers for any batch length, or stand back with one warning line."""

import logging
import os
import subprocess
import sys
import warnings

import openvino
import pytest
import torch
from torch import nn

from polyhead import inference
from polyhead.inference import Quick, has_bfloat16, quicken, relative_error

LENGTH = 4


class Small(nn.Module):
    """A convolution and a normalisation with two outputs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.layer[1].running_mean.uniform_(-0.2, 0.2)
        self.layer[1].running_var.uniform_(0.5, 2)

    def forward(self, images):
        feature = self.layer(images)
        return feature, feature.mean(dim=(2, 3))


@pytest.fixture(scope="module")
def module():
    return Small().eval()


@pytest.fixture(scope="module")
def example():
    return torch.randn(LENGTH, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=["plain", "compiled", "openvino"])
def quick(request, module, example) -> Quick:
    if request.param == "compiled" and " " in torch.__path__[0]:
        pytest.skip("PyTorch compiles nothing where its own folder has a space in its path")
    return quicken(module, [example], backend=request.param)


def warned(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def backend(monkeypatch):
    """Registers a backend for one test."""

    def register(build):
        monkeypatch.setitem(inference._BACKENDS._entries, "trial", build)
        return "trial"

    return register


@pytest.mark.parametrize("length", [1, LENGTH - 1, LENGTH, LENGTH + 1, 2 * LENGTH + 3])
def test_every_backend_answers_batches_of_any_length_like_the_module(quick, module, length):
    images = torch.randn(length, 3, 8, 8, generator=torch.Generator().manual_seed(length))
    with torch.inference_mode():
        expected, answers = module(images), quick(images)
    assert [answer.shape for answer in answers] == [(length, 8, 8, 8), (length, 8)]
    assert all(answer.dtype == torch.float32 for answer in answers)
    for answer, wanted in zip(answers, expected, strict=True):
        torch.testing.assert_close(answer, wanted, rtol=1e-4, atol=1e-5)


def test_every_backend_is_used_when_asked_for_and_says_how_near_it_is(quick, request):
    assert quick.backend == request.node.callspec.params["quick"]
    assert quick.precision == "float32" and quick.error < 1e-5 and quick.seconds >= 0


def test_answers_are_not_overwritten_by_the_next_call(quick, example):
    with torch.inference_mode():
        first = quick(example)
        kept = [answer.clone() for answer in first]
        quick(example + 1)
    for answer, wanted in zip(first, kept, strict=True):
        assert torch.equal(answer, wanted)


@pytest.mark.parametrize("name", ["plain", "openvino"])
def test_a_module_with_one_tensor_gives_a_tuple_of_one(name):
    layer = nn.Conv2d(3, 2, 1).eval()
    answers = quicken(layer, [torch.ones(1, 3, 4, 4)], backend=name)(torch.ones(3, 3, 4, 4))
    assert isinstance(answers, tuple) and [answer.shape for answer in answers] == [(3, 2, 4, 4)]


def test_several_inputs_are_cut_and_padded_together():
    call = inference._in_batches(lambda a, b: (a + b[:, None], b), 3)
    a, b = torch.arange(16.0).view(8, 2), torch.arange(8.0)
    total, second = call(a, b)
    assert torch.equal(total, a + b[:, None]) and torch.equal(second, b)


def raising(*_):
    raise RuntimeError("no such machine\nand a second line")


def wrong(module, example, precision, cache):
    return lambda images: tuple(output + 0.1 for output in module(images))


def not_a_number(module, example, precision, cache):
    return lambda images: tuple(output * float("nan") for output in module(images))


def one_output(module, example, precision, cache):
    return lambda images: module(images)[:1]


def one_row(module, example, precision, cache):
    return lambda images: tuple(output[:1] for output in module(images))


@pytest.mark.parametrize("build", [raising, wrong, not_a_number, one_output, one_row])
def test_a_backend_that_fails_or_errs_is_dropped_with_one_line(build, backend, module, example, caplog):
    # Equal rows: a backend that forgets rows would go unnoticed if shapes were broadcast.
    images = example[:1].expand(LENGTH, -1, -1, -1).contiguous()
    quick = quicken(module, [images], backend=backend(build))  # pyright: ignore[reportArgumentType]
    assert (quick.backend, quick.precision, quick.error) == ("plain", "float32", 0.0)
    assert len(warned(caplog)) == 1 and "\n" not in warned(caplog)[0] and "trial" in warned(caplog)[0]
    with torch.inference_mode():
        for answer, wanted in zip(quick(example), module(example), strict=True):
            torch.testing.assert_close(answer, wanted)


def test_an_unknown_backend_is_named_and_the_plain_one_answers(module, example, caplog):
    assert quicken(module, [example], backend="opnvino").backend == "plain"  # pyright: ignore[reportArgumentType]
    assert len(warned(caplog)) == 1 and "opnvino" in warned(caplog)[0]


def test_a_failed_backend_leaves_logging_and_warnings_as_they_were(backend, module, example, caplog):
    def deafening(*_):
        logging.root.setLevel(logging.CRITICAL)
        warnings.warn("about my own workings", DeprecationWarning, stacklevel=1)
        raise RuntimeError("not convertible")

    level = logging.root.level
    quicken(module, [example], backend=backend(deafening))  # pyright: ignore[reportArgumentType]
    assert logging.root.level == level and len(warned(caplog)) == 1
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", UserWarning, stacklevel=1)


def test_bfloat16_without_the_hardware_is_float32_with_one_line(module, example, caplog, monkeypatch):
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: False)
    assert quicken(module, [example], backend="plain", precision="bfloat16").precision == "float32"
    assert len(warned(caplog)) == 1 and "bfloat16" in warned(caplog)[0]
    caplog.clear()
    assert quicken(module, [example], backend="plain", precision="auto").precision == "float32"
    assert warned(caplog) == []


def test_bfloat16_answers_are_float32_tensors_near_the_plain_ones(module, example, monkeypatch):
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: True)
    quick = quicken(module, [example], backend="plain", precision="bfloat16")
    assert quick.precision == "bfloat16" and 0 < quick.error < inference.TOLERANCE["bfloat16"]
    assert all(answer.dtype == torch.float32 for answer in quick(example))


def test_a_wrong_backend_in_bfloat16_falls_back_to_the_plain_model_with_one_line(
    backend, module, example, caplog, monkeypatch
):
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: True)
    quick = quicken(module, [example], backend=backend(wrong), precision="bfloat16")  # pyright: ignore[reportArgumentType]
    assert quick.backend == "plain" and len(warned(caplog)) == 1


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, False),
        ({"avx512_bf16": False, "avx2": True}, False),
        ({"amx_tile": True}, True),
        ({"sve_bf16": True}, True),
    ],
)
def test_a_processor_has_bfloat16_if_it_computes_in_it(capabilities, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_bfloat16(torch.device("cpu")) is expected


def test_auto_prepares_a_backend_only_when_the_work_repays_it(module, example, monkeypatch):
    built = []

    def slow(*inputs):
        clock[0] += LENGTH  # one second a row
        return module(*inputs)

    clock = [0.0]
    monkeypatch.setattr(inference.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(inference, "_plain", lambda module, precision: slow)
    for name in ("compiled", "openvino"):
        monkeypatch.setitem(
            inference._BACKENDS._entries, name, lambda module, *_, name=name: built.append(name) or module.forward
        )
    assert quicken(module, [example], items=None).backend == "plain"
    assert quicken(module, [example], items=10).backend == "plain"
    assert built == []
    assert quicken(module, [example], items=1000).backend == "openvino"
    monkeypatch.setattr(inference, "find_spec", lambda name: None)
    assert quicken(module, [example], items=1000).backend == "compiled"


@pytest.mark.parametrize(("rows_a_pass", "threads", "rows"), [(1, 1, 1), (1, 3, 3), (2, 3, 6), (None, 3, None)])
def test_what_pays_is_measured_on_all_cores(module, example, monkeypatch, rows_a_pass, threads, rows):
    measured, choose, before = [], inference._choose, torch.get_num_threads()

    def chosen(plain, timed, items):
        measured.append(len(timed[0]))
        return choose(plain, timed, items)

    monkeypatch.setattr(inference, "_choose", chosen)
    try:
        torch.set_num_threads(threads)
        quicken(module, [example], items=1, rows_a_pass=rows_a_pass)
    finally:
        torch.set_num_threads(before)
    assert measured == [rows or len(example)]


def test_a_converted_model_is_kept_and_used_again(module, example, tmp_path, monkeypatch):
    first = quicken(module, [example], backend="openvino", cache=tmp_path / "backends")
    names = sorted(path.suffix for path in (tmp_path / "backends").iterdir())
    assert first.backend == "openvino" and names == [".bin", ".xml"]
    monkeypatch.setattr(openvino, "convert_model", raising)
    again = quicken(module, [example[:2]], backend="openvino", cache=tmp_path / "backends")
    assert again.backend == "openvino"
    assert all(torch.equal(a, b) for a, b in zip(first(example), again(example), strict=True))


def test_other_weights_sizes_and_layers_are_kept_under_other_names(module, example):
    other, deeper = Small().eval(), nn.Sequential(Small()).eval()
    with torch.no_grad():
        other.layer[0].weight.mul_(1.5)
    digest = inference._weights_digest
    names = {digest(module, [example]), digest(other, [example]), digest(deeper, [example])}
    assert len(names | {digest(module, [example[..., :4]])}) == 4
    assert digest(module, [example[:1]]) == digest(Small().eval(), [example])


def test_a_damaged_kept_model_is_converted_anew(module, example, tmp_path, caplog):
    quicken(module, [example], backend="openvino", cache=tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:20])
    assert quicken(module, [example], backend="openvino", cache=tmp_path).backend == "openvino"
    assert warned(caplog) == []
    assert all(path.stat().st_size > 100 for path in tmp_path.iterdir())


@pytest.mark.parametrize("failure", [RuntimeError("Can't open bin file"), PermissionError(13, "Permission denied")])
def test_a_folder_that_cannot_be_written_is_no_harm(module, example, tmp_path, monkeypatch, caplog, failure):
    def refuse(model, path, **_):
        path.with_suffix(".bin").write_bytes(b"begun")
        raise failure

    monkeypatch.setattr(openvino, "save_model", refuse)
    quick = quicken(module, [example], backend="openvino", cache=tmp_path / "backends")
    assert quick.backend == "openvino" and warned(caplog) == []
    assert list((tmp_path / "backends").iterdir()) == []


def test_a_cache_below_a_file_is_no_harm(module, example, tmp_path):
    (tmp_path / "file").write_text("")
    assert quicken(module, [example], backend="openvino", cache=tmp_path / "file" / "backends").backend == "openvino"


def test_relative_error_by_hand():
    one, two = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])
    assert relative_error([two], [one]) == pytest.approx(0.1)
    assert relative_error([one, two], [one, one]) == pytest.approx(0.1)
    assert relative_error([one], [one]) == 0
    assert relative_error([torch.zeros(2)], [torch.zeros(2)]) == 0
    assert relative_error([torch.tensor([3.0, float("inf")])], [one]) == float("inf")
    assert relative_error([one[:1]], [torch.full((2,), 3.0)]) == float("inf")
    turned = torch.tensor([3.0 + 0j, 4.0 + 0.5j])
    assert relative_error([turned], [one + 0j]) == pytest.approx(0.1)
    assert relative_error([one], [one + 0j]) == float("inf")


class Wave(nn.Module):
    """Complex in, complex and real out, as in the recovery of images from their spectra."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.layer = nn.Linear(4, 3, dtype=torch.complex64)

    def forward(self, spectra):
        answer = self.layer(torch.fft.ifft(spectra))
        return answer, answer.abs()


@pytest.mark.parametrize("backend", ["plain", "auto"])
def test_complex_numbers_stay_complex(backend):
    module, example = Wave().eval(), torch.randn(5, 4, dtype=torch.complex64)
    quick = quicken(module, [example], backend=backend, items=10**9)  # pyright: ignore[reportArgumentType]
    assert quick.backend == "plain"
    with torch.inference_mode():
        for answer, wanted in zip(quick(example), module(example), strict=True):
            assert answer.dtype == wanted.dtype and torch.equal(answer, wanted)


def test_a_backend_of_real_numbers_says_so_and_the_plain_one_answers(caplog):
    module, example = Wave().eval(), torch.randn(5, 4, dtype=torch.complex64)
    quick = quicken(module, [example], backend="openvino")
    assert quick.backend == "plain"
    assert warned(caplog) == ["the backend openvino is not used: OpenVINO computes with real numbers only"]


def test_a_backend_that_loses_the_imaginary_part_is_dropped(backend, caplog):
    module, example = Wave().eval(), torch.randn(5, 4, dtype=torch.complex64)
    name = backend(lambda module, *_: lambda spectra: tuple(output.real for output in module(spectra)))
    assert quicken(module, [example], backend=name).backend == "plain"
    assert len(warned(caplog)) == 1 and "off by inf" in warned(caplog)[0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.bfloat16])
def test_only_half_precisions_are_widened(dtype):
    answer, *_ = quicken(nn.Identity(), [torch.ones(2, 3).to(dtype)], backend="plain")(torch.ones(2, 3).to(dtype))
    assert answer.dtype == (torch.float32 if dtype is torch.bfloat16 else dtype)


def test_a_signal_is_taken_after_models_have_come_and_gone(tmp_path):
    """In a process of its own, since what it is about would end the tests."""
    script = tmp_path / "script.py"
    script.write_text(
        "import gc, signal, torch\n"
        "from polyhead.inference import quicken\n"
        "module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()).eval()\n"
        "first, second = (quicken(module, [torch.ones(2, 3, 8, 8)], backend='openvino') for _ in range(2))\n"
        "assert first.backend == second.backend == 'openvino'\n"
        "del first; gc.collect()\n"
        "del second; gc.collect()\n"
        "signal.signal(signal.SIGINT, lambda *_: print('taken'))\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=200)
    assert (ended.returncode, ended.stdout) == (0, "taken\n"), ended.stderr
