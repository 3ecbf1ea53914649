"""A trained model made quick on the machine at hand, its answers held against the plain model's.

`quicken` takes a module and an example of its input and gives back a callable with the same answers. What it may use:
channels-last memory, bfloat16 where the hardware computes in it, ``torch.compile`` with frozen weights, and OpenVINO
where it is installed. Preparing costs seconds to a minute, so it is done only where the work repays it.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from polyhead.registry import Registry
from polyhead.system.files import TEMPORARY, replacing
from polyhead.system.memory import channels_last
from polyhead.system.threads import side_by_side

logger = logging.getLogger(__name__)

Backend = Literal["auto", "plain", "compiled", "openvino"]
Precision = Literal["float32", "bfloat16", "auto"]
Call = Callable[..., tuple[Tensor, ...]]

TOLERANCE = {"float32": 1e-3, "bfloat16": 8e-2}
"""Largest relative error ‖quick - plain‖ / ‖plain‖ of any output on the example."""

# Seconds to prepare and speed over the plain model, as rules of thumb for a network of tens of millions of weights;
# the choice only has to be right when the work is much longer or much shorter than the preparation.
_PREPARATION = {"compiled": 60.0, "openvino": 25.0}
_ROWS_A_REQUEST = 4
_SPEEDUP = {"compiled": 1.8, "openvino": 2.2}


@dataclass(frozen=True)
class Quick:
    """A quickened module.

    Attributes:
        call: takes what the module takes and returns its outputs as a tuple of tensors; bfloat16 and float16 are
            widened to float32, complex numbers and all other types stay what the module gives.
        backend: what runs it.
        precision: what it computes in.
        error: largest relative error against the plain module on the example.
        seconds: what preparing it took.
    """

    call: Call
    backend: str
    precision: str
    error: float
    seconds: float

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self.call(*inputs)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16, not merely stores it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "sve_bf16"))
    return False


def quicken(
    module: nn.Module,
    example: Sequence[Tensor],
    *,
    backend: Backend = "auto",
    precision: Precision = "float32",
    items: int | None = None,
    cache: Path | None = None,
    rows_a_pass: int | None = None,
) -> Quick:
    """Makes `module` quick for batches like `example`.

    Args:
        module: in evaluation mode on its device; maps tensors of shape (B, ...) to a tensor or a tuple of tensors.
        example: a representative input; later batches may be of any length, and are cut or padded where a backend
            wants the example's.
        backend: "auto" prepares a quicker backend when `items` repay it; the others are taken at their word.
        precision: "auto" takes bfloat16 where the hardware has it.
        items: how many rows will be asked, None when it is unknown ("auto" then stays plain).
        cache: folder where a prepared backend may be kept for the next time.
        rows_a_pass: exactly so many rows pass at once, the last ones padded: kernels go by the length of a batch, and
            so would the last digits of a row's answer. With 1 it is bit for bit the same in every batch.

    Returns:
        A `Quick`. A backend that fails or whose answers differ from the plain module's by more than `TOLERANCE` is
        dropped with one warning line, and the plain module answers.
    """
    started = time.perf_counter()
    device = example[0].device
    resolved = precision
    if precision == "auto":
        resolved = "bfloat16" if has_bfloat16(device) else "float32"
    elif precision == "bfloat16" and not has_bfloat16(device):
        logger.warning("this %s computes bfloat16 only by emulation: float32 is used", device.type)
        resolved = "float32"
    if rows_a_pass is not None:
        example = [tensor[:1].expand(rows_a_pass, *tensor.shape[1:]) for tensor in example]
    plain = _in_passes(_plain(module, "float32"), rows_a_pass)
    with torch.inference_mode():
        reference = plain(*example)
        complex_numbers = _has_complex([*example, *reference])
        chosen = backend
        if backend == "auto":
            # Passes go side by side on a CPU: a single one would tell of a machine with one core.
            many = 1 if rows_a_pass is None or device.type != "cpu" else torch.get_num_threads()
            timed = [torch.cat([tensor] * many) for tensor in example]
            chosen = "plain" if complex_numbers else _choose(plain, timed, items)
        for name in dict.fromkeys((chosen, "plain")):
            if name == "plain" and resolved == "float32":
                break
            try:
                if name == "openvino" and complex_numbers:
                    raise ValueError("OpenVINO computes with real numbers only")
                with _undisturbed():
                    call = _BACKENDS[name](module, list(example), resolved, cache, rows_a_pass)
                    error = relative_error(call(*example), reference)
            except Exception as failure:
                reason = str(failure).strip().splitlines()
                logger.warning("the backend %s is not used: %s", name, reason[0] if reason else type(failure).__name__)
                continue
            if error <= TOLERANCE[resolved]:
                return Quick(call, name, resolved, error, time.perf_counter() - started)
            logger.warning("the backend %s in %s is not used: its answers are off by %.1e", name, resolved, error)
    return Quick(plain, "plain", "float32", 0.0, time.perf_counter() - started)


def relative_error(outputs: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """The largest ‖output - reference‖ / ‖reference‖ over the outputs, real or complex; infinite where a shape is
    another, where one of both is complex, or where anything is not finite."""
    worst = 0.0
    for output, expected in zip(outputs, reference, strict=True):
        if output.shape != expected.shape or output.is_complex() != expected.is_complex():
            return float("inf")
        # On the host: some accelerators have no float64.
        wide = torch.complex128 if expected.is_complex() else torch.float64
        output, expected = output.cpu().to(wide), expected.cpu().to(wide)
        difference = (output - expected).norm() / expected.norm().clamp_min(1e-12)
        worst = max(worst, float(difference) if torch.isfinite(difference) else float("inf"))
    return worst


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keeps what backends do while they are prepared from reaching the caller.

    Their warnings are about their own workings, and OpenVINO leaves the root logger deaf where a conversion fails.
    """
    level = logging.root.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)


def _choose(plain: Call, example: Sequence[Tensor], items: int | None) -> str:
    if items is None:
        return "plain"
    started = time.perf_counter()
    plain(*example)
    if example[0].device.type == "cuda":
        torch.cuda.synchronize()
    work = (time.perf_counter() - started) / len(example[0]) * items
    available = ["compiled"]
    if example[0].device.type == "cpu" and find_spec("openvino") is not None:
        available.append("openvino")
    gains = {name: work * (1 - 1 / _SPEEDUP[name]) - _PREPARATION[name] for name in available}
    best = max(gains, key=lambda name: gains[name])
    return best if gains[best] > 0 else "plain"


_BACKENDS: Registry[Callable[[nn.Module, list[Tensor], str, Path | None, int | None], Call]] = Registry(
    "inference backend"
)


def _as_tuple(outputs: Any) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def _has_complex(tensors: Sequence[Tensor]) -> bool:
    return any(tensor.is_complex() for tensor in tensors)


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def _plain(module: nn.Module, precision: str) -> Call:
    device_type = next((parameter.device.type for parameter in module.parameters()), "cpu")

    def call(*inputs: Tensor) -> tuple[Tensor, ...]:
        inputs = tuple(channels_last(tensor) for tensor in inputs)
        with torch.autocast(device_type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            outputs = _as_tuple(module(*inputs))
        return tuple(_widened(output) for output in outputs)

    return call


@_BACKENDS.add("plain")
def _plain_backend(
    module: nn.Module, example: list[Tensor], precision: str, cache: Path | None, rows_a_pass: int | None
) -> Call:
    return _in_passes(_plain(module, precision), rows_a_pass)


@_BACKENDS.add("compiled")
def _compiled_backend(
    module: nn.Module, example: list[Tensor], precision: str, cache: Path | None, rows_a_pass: int | None
) -> Call:
    """torch.compile with the weights frozen into the graph: convolutions folded with their normalisation."""
    import torch._inductor.config as inductor

    device_type = example[0].device.type
    length = len(example[0])
    compiled = torch.compile(module, dynamic=False)

    def fixed(*inputs: Tensor) -> tuple[Tensor, ...]:
        # no_grad, not inference_mode: freezing looks for the former, and refuses tensors made under the latter.
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            inductor.patch(freezing=True),
            torch.autocast(device_type, dtype=torch.bfloat16, enabled=precision == "bfloat16"),
        ):
            outputs = _as_tuple(compiled(*(channels_last(tensor.clone()) for tensor in inputs)))
        return tuple(_widened(output) for output in outputs)

    return _in_batches(fixed, length)


def _in_passes(call: Call, rows_a_pass: int | None) -> Call:
    """Passes of equal length, on a CPU side by side in threads of one core each."""
    if rows_a_pass is None:
        return call
    one_by_one = _in_batches(call, rows_a_pass)

    def passes(*inputs: Tensor) -> tuple[Tensor, ...]:
        if inputs[0].device.type != "cpu":
            return one_by_one(*inputs)
        starts = range(0, len(inputs[0]), rows_a_pass)
        parts = side_by_side(
            lambda start: one_by_one(*(tensor[start : start + rows_a_pass] for tensor in inputs)), starts
        )
        return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))

    return passes


def _in_batches(call: Call, length: int) -> Call:
    """Calls `call` with batches of exactly `length` rows, the last padded with copies of its first row."""

    def batched(*inputs: Tensor) -> tuple[Tensor, ...]:
        rows = len(inputs[0])
        parts = []
        for start in range(0, rows, length):
            chunk = [tensor[start : start + length] for tensor in inputs]
            held = len(chunk[0])
            if held < length:
                chunk = [torch.cat([part, part[:1].expand(length - held, *part.shape[1:])]) for part in chunk]
            parts.append([output[:held] for output in call(*chunk)])
        return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))

    return batched


@_BACKENDS.add("openvino")
def _openvino_backend(
    module: nn.Module, example: list[Tensor], precision: str, cache: Path | None, rows_a_pass: int | None
) -> Call:
    """OpenVINO's CPU runtime on the traced module, any batch length; the converted model is kept in `cache`."""
    openvino = _import_openvino()

    if example[0].device.type != "cpu":
        raise ValueError("OpenVINO is used on the CPU only")
    path = None if cache is None else cache / f"openvino-{_weights_digest(module, example)}.xml"
    core = _openvino_core()
    converted = _kept(core, path)
    if converted is None:
        shapes = [openvino.PartialShape([-1, *tensor.shape[1:]]) for tensor in example]
        with torch.inference_mode(False), torch.no_grad():
            converted = openvino.convert_model(
                _TupleOutputs(module), example_input=tuple(tensor.clone() for tensor in example), input=shapes
            )
        if path is not None:
            _keep(converted, path)
    hints = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32"}
    hints["INFERENCE_NUM_THREADS"] = str(torch.get_num_threads())
    # Several requests of few rows, each on its own cores, keep the cores busier than one of many rows on all of them.
    hints["PERFORMANCE_HINT"] = "THROUGHPUT"
    compiled = core.compile_model(converted, "CPU", hints)
    count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    requests = [compiled.create_infer_request() for _ in range(count)]

    def collect(request: Any) -> list[np.ndarray]:
        request.wait()
        return [np.array(request.get_output_tensor(index).data) for index in range(len(compiled.outputs))]

    def call(*inputs: Tensor) -> tuple[Tensor, ...]:
        arrays = [tensor.contiguous().numpy() for tensor in inputs]
        rows = len(arrays[0])
        step = rows_a_pass or min(_ROWS_A_REQUEST, -(-rows // count))
        if held := rows % step if rows_a_pass else 0:
            arrays = [np.concatenate([array, array[:1].repeat(step - held, axis=0)]) for array in arrays]
        parts: list[list[np.ndarray]] = []
        starts = range(0, rows, step)
        for turn, start in enumerate(starts):
            request = requests[turn % count]
            if turn >= count:
                parts.append(collect(request))
            request.start_async([array[start : start + step] for array in arrays])
        for turn in range(len(parts), len(starts)):
            parts.append(collect(requests[turn % count]))
        joined = [np.concatenate(column)[:rows] for column in zip(*parts, strict=True)]
        return tuple(_widened(torch.from_numpy(column)) for column in joined)

    return call


@cache
def _openvino_core() -> Any:
    """OpenVINO's runtime, one for the life of the process.

    Its CPU plugin gives signals a stack of its own, and each plugin that ends puts back the stack that it found. Of two
    plugins of which the first ends first, that one is gone: the next signal, a Ctrl-C, would take the process with it.
    """
    core = _import_openvino().Core()
    # A kept model that is mapped rather than read would take the process with it if its file were cut short.
    core.set_property({"ENABLE_MMAP": False})
    return core


def _import_openvino() -> Any:
    """OpenVINO without its telemetry, which would report conversions over the network from a process of its own."""
    import sys
    from importlib import import_module

    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType]
    return import_module("openvino")


class _TupleOutputs(nn.Module):
    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return _as_tuple(self.module(*inputs))


def _weights_digest(module: nn.Module, example: Sequence[Tensor]) -> str:
    import hashlib

    digest = hashlib.sha256(repr([tuple(tensor.shape[1:]) for tensor in example]).encode())
    digest.update(torch.__version__.encode())
    digest.update(repr(module).encode())
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:24]


def _kept(core: Any, path: Path | None) -> Any | None:
    """The converted model at `path`; None where there is none or it is damaged, which converting anew mends."""
    if path is None or not path.is_file() or not path.with_suffix(".bin").is_file():
        return None
    try:
        return core.read_model(path)
    except RuntimeError as failure:
        logger.info("the kept model %s is damaged and converted anew: %s", path.name, failure)
        return None


def _keep(converted: Any, path: Path) -> None:
    """Writes the converted model beside its final name and renames it, weights first; a read-only folder is no harm."""
    import openvino

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # OpenVINO names the weights after the description, so both are made in a folder of their own.
        with TemporaryDirectory(prefix=TEMPORARY, dir=path.parent) as folder:
            made = Path(folder) / path.name
            openvino.save_model(converted, made, compress_to_fp16=False)
            for suffix in (".bin", ".xml"):
                with replacing(path.with_suffix(suffix)) as temporary:
                    made.with_suffix(suffix).replace(temporary)
    except (OSError, RuntimeError) as failure:  # OpenVINO says that it cannot open a file by a RuntimeError
        logger.info("the converted model is not kept: %s", failure)
