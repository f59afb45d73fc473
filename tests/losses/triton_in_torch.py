"""As much of Triton as the kernels for many classes use, in plain torch: each program is run by itself, eagerly.

It lets every machine run the kernels' arithmetic. Triton's own interpreter, where Triton is installed, and a GPU are
what shows that they are Triton.
"""

import importlib.util
import math
import sys
from types import ModuleType

import torch

from rdml_theory import losses

PROGRAM = [0]


class Pointer:
    """The memory of a tensor, and where in it."""

    def __init__(self, memory, offset=0):
        self.memory, self.offset = memory, offset

    def __add__(self, offset):
        return Pointer(self.memory, self.offset + offset)


class Kernel:
    """A function that is called by other kernels, or launched over a grid."""

    def __init__(self, function):
        self.function = self.__wrapped__ = function

    def __call__(self, *arguments):
        return self.function(*arguments)

    def __getitem__(self, grid):
        def launch(*arguments, num_warps):
            tensors = [x for x in arguments if isinstance(x, torch.Tensor)]
            assert all(x.is_contiguous() for x in tensors)
            arguments = [Pointer(x.view(-1)) if isinstance(x, torch.Tensor) else x for x in arguments]
            for PROGRAM[0] in range(*grid):
                self.function(*arguments)

        return launch


class Constant:
    """`tl.constexpr`: as a type, nothing; called, its argument."""

    def __new__(cls, value):
        return value


def load(pointer, mask=None, other=0.0):
    if mask is None:
        return pointer.memory[pointer.offset]
    return torch.where(mask, pointer.memory[torch.where(mask, pointer.offset, 0)], other)


def store(pointer, value, mask=None):
    offset = torch.as_tensor(pointer.offset)
    value = value.expand(offset.shape).to(pointer.memory.dtype)
    pointer.memory[offset if mask is None else offset[mask]] = value if mask is None else value[mask]


def either(scalar, tensor):
    return lambda *x: tensor(*map(torch.as_tensor, x)) if any(isinstance(y, torch.Tensor) for y in x) else scalar(*x)


def kernels():
    """The module of the kernels, made with this Triton."""
    language = ModuleType("triton.language")
    vars(language).update(
        constexpr=Constant, load=load, store=store, where=torch.where, exp2=torch.exp2, arange=torch.arange,
        program_id=lambda axis: torch.tensor(PROGRAM[0]), static_range=range, int64=torch.int64,
        zeros=lambda shape, dtype: torch.zeros(shape, dtype=dtype), zeros_like=torch.zeros_like,
        float32=torch.float32, float64=torch.float64,
        sum=lambda x, axis: x.sum(axis), min=lambda x, axis: x.amin(axis), max=lambda x, axis: x.amax(axis),
        maximum=either(max, torch.maximum), minimum=either(min, torch.minimum), abs=abs,
    )  # fmt: skip
    language.full = lambda shape, value, dtype: torch.full(shape, value, dtype=dtype)
    triton = ModuleType("triton")
    vars(triton).update(jit=Kernel, language=language, next_power_of_2=lambda n: 2 ** math.ceil(math.log2(n)))
    spec = importlib.util.spec_from_file_location("kernels_in_torch", losses.__path__[0] + "/_triton.py")
    module = importlib.util.module_from_spec(spec)
    before = {name: sys.modules.get(name) for name in ("triton", "triton.language")}
    sys.modules.update({"triton": triton, "triton.language": language})
    try:
        spec.loader.exec_module(module)
    finally:
        for name, old in before.items():
            if old is None:
                del sys.modules[name]
            else:
                sys.modules[name] = old
    return module
