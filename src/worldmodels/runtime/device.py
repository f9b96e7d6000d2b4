"""Which device and which arithmetic. CUDA is used when there is one; only an explicit request for it can fail."""

import torch

from worldmodels.errors import UserError
from worldmodels.runtime.processor import multiplies_bf16


def resolve_device(requested: str) -> torch.device:
    """Return the device for `requested`: auto, cpu or cuda. Raises UserError for cuda where there is none."""
    if requested == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if requested == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "--device cuda was asked for, but PyTorch sees no CUDA device (torch.cuda.is_available() is False). "
            "Check nvidia-smi, CUDA_VISIBLE_DEVICES and that this is a CUDA build of torch, or use --device auto."
        )
    return torch.device(requested)


def matmul_dtype(requested: str, device: torch.device) -> torch.dtype:
    """Return the type of matrix products for `requested`: auto, fp32 or bf16.

    auto takes bf16 only where the hardware multiplies in it: emulated bf16 is slower than fp32.
    """
    if requested == "auto":
        return torch.bfloat16 if has_fast_bf16(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[requested]


def has_fast_bf16(device: torch.device) -> bool:
    """Whether `device` has bf16 matrix instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return multiplies_bf16()


VECTOR_FUNCTIONS = (
    *("acos", "asin", "atan", "cos", "cosh", "erf", "erfc", "erfinv", "exp", "expm1", "log", "log10", "log1p", "log2"),
    *("rsqrt", "sigmoid", "sin", "sinh", "sqrt", "tan", "tanh"),
)
"""What torch may hand to MKL's vector mathematics."""


def set_threads(threads: int) -> None:
    """Use `threads` cores in torch. Denormals are flushed: they cost a hundredfold and mean nothing here."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    choose_vector_functions()


def choose_vector_functions() -> None:
    """Let MKL choose its version of each vector function now, on one thread.

    It chooses at a function's first call, and where two threads make that call at once, one of them may compute its share
    with a version of low precision, once (pytorch/pytorch issue 188792; MKL before 2025). Seen here: on a busy machine about one
    training in thirty had a first exp that was wrong by 2e-5 in half of its numbers, and so other weights.
    """
    for dtype in (torch.float32, torch.float64):
        numbers = torch.full((8,), 0.5, dtype=dtype)
        for name in VECTOR_FUNCTIONS:
            getattr(torch, name)(numbers)


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """A context in which matrix products run in `dtype`; it changes nothing for fp32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
