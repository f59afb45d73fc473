"""Small reference networks for signals (C, L) and images (C, H, W), and how a cohort is named and built."""

from __future__ import annotations

import importlib
import inspect
import re
import traceback
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convergence.arguments import did_you_mean
from verify.own_modules import importable
from verify.reading import in_a_line
from verify.trainer.errors import TrainerError

__all__ = [
    "CNN", "MLP", "NETWORKS", "ResNet", "ViT", "build_students", "own_function", "parse_students", "refuse_unsafe",
    "runs_code", "unsafe_channels_last",
]  # fmt: skip

Shape = tuple[int, ...]

MOST_STUDENTS = 1000


class MLP(nn.Sequential):
    """Two hidden layers."""

    def __init__(self, shape: Shape, classes: int, width: int = 100) -> None:
        size = torch.Size(shape).numel()
        super().__init__(
            nn.Flatten(),
            nn.Linear(size, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, classes),
        )


class CNN(nn.Sequential):
    """Three strided convolutions and a linear layer: for signals the network of the MNIST-1D paper (width 25)."""

    def __init__(self, shape: Shape, classes: int, width: int = 25) -> None:
        conv = _convolution(shape)
        body = nn.Sequential(
            conv(shape[0], width, 5, stride=2, padding=1), nn.ReLU(),
            conv(width, width, 3, stride=2, padding=1), nn.ReLU(),
            conv(width, width, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        with torch.no_grad():
            features = body(torch.zeros(1, *shape)).shape[1]
        super().__init__(*body, nn.Linear(features, classes))


class _Residual(nn.Module):
    def __init__(self, shape: Shape, inside: int, outside: int, stride: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        conv = partial(_convolution(shape), bias=False)
        self.body = nn.Sequential(
            conv(inside, outside, 3, stride=stride, padding=1), norm(outside), nn.ReLU(),
            conv(outside, outside, 3, padding=1), norm(outside),
        )  # fmt: skip
        plain = stride == 1 and inside == outside
        self.skip = (
            nn.Identity() if plain else nn.Sequential(conv(inside, outside, 1, stride=stride), norm(outside))
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


class ResNet(nn.Sequential):
    """A residual network with a 3-wide stem; `resnet18` is (64, 128, 256, 512) with two blocks each."""

    def __init__(
        self, shape: Shape, classes: int, width: int = 16, *, stages: int = 3, blocks: int = 1, norm: str = "batch"
    ) -> None:
        make = partial(_normalisation, shape, norm)
        widths = [width * 2**n for n in range(stages)]
        layers: list[nn.Module] = [
            _convolution(shape)(shape[0], width, 3, padding=1, bias=False), make(width), nn.ReLU(),
        ]  # fmt: skip
        inside = width
        for n, outside in enumerate(widths):
            for block in range(blocks):
                layers.append(_Residual(shape, inside, outside, 2 if n and not block else 1, make))
                inside = outside
        pool = nn.AdaptiveAvgPool1d(1) if len(shape) == 2 else nn.AdaptiveAvgPool2d(1)
        super().__init__(*layers, pool, nn.Flatten(), nn.Linear(inside, classes))


class ViT(nn.Module):
    """A small vision transformer: patches of 4, four pre-normalised blocks of four heads, mean pooling."""

    def __init__(self, shape: Shape, classes: int, width: int = 64) -> None:
        super().__init__()
        if width % 4:
            raise TrainerError(f"width = {width}: a vision transformer needs a multiple of its 4 heads")
        self.embed = _convolution(shape)(shape[0], width, 4, stride=4)
        tokens = torch.Size(n // 4 for n in shape[1:]).numel()
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        block = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, 4, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes)."""
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.blocks(tokens).mean(1))


def _convolution(shape: Shape) -> Callable[..., nn.Module]:
    if len(shape) not in (2, 3):
        raise TrainerError(f"samples have shape {shape}: convolutions need signals (C, L) or images (C, H, W)")
    return nn.Conv1d if len(shape) == 2 else nn.Conv2d


def _normalisation(shape: Shape, norm: str, width: int) -> nn.Module:
    if norm == "group":
        return nn.GroupNorm(next(g for g in (8, 4, 2, 1) if width % g == 0), width)
    return nn.BatchNorm1d(width) if len(shape) == 2 else nn.BatchNorm2d(width)


def parse_students(text: str) -> list[str]:
    """The networks of a cohort, one name a student.

    >>> parse_students("cnn:2,mlp"), parse_students("my.module:factory:2")
    (['cnn', 'cnn', 'mlp'], ['my.module:factory', 'my.module:factory'])
    """
    names: list[str] = []
    for part in text.replace(" ", "").split(","):
        found = re.fullmatch(r"(?P<name>[^:]+(:[A-Za-z_]\w*)?)(:(?P<count>\d+))?", part)
        if found is None or found["count"] == "0":
            raise TrainerError(f"students = {text!r}: expected names and numbers such as 'cnn:2,mlp:1'")
        count = found["count"] or "1"
        if len(count) > 4 or len(names) + int(count) > MOST_STUDENTS:
            raise TrainerError(f"students = {text[:60]!r}: more than {MOST_STUDENTS} students")
        names += [found["name"]] * int(count)
    return names


def runs_code(text: str) -> bool:
    """Whether a cohort has a network that is a function of somebody's module, which importing it runs.

    >>> runs_code("cnn:2,mlp"), runs_code("cnn:2,my.module:factory"), runs_code("timm/resnet18")
    (False, True, False)
    """
    return any(":" in name for name in parse_students(text))


NARROWEST = 16
"""Channels in a vector register of AVX-512; 8 with AVX2."""


def unsafe_channels_last(student: nn.Module) -> str | None:
    """The first layer whose gradient, on a CPU and channels-last, oneDNN computes outside of its memory; None if none.

    A 1 x 1 convolution with a stride gathers its input into a buffer for a single register of channels, and clears
    that buffer by whole registers: with fewer channels than a register has, it writes past the end (oneDNN issue 6035,
    open as of torch 2.13.0: "corrupted double-linked list", crashes, hangs, wrong gradients). The register is
    that of the widest instructions of the processor, so any may be met that this is run on.

    >>> unsafe_channels_last(nn.Conv2d(4, 8, 1, stride=2)), unsafe_channels_last(nn.Conv2d(4, 8, 3, stride=2))
    ('1 x 1 convolution of 4 channels with stride 2', None)
    """
    for layer in student.modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        channels, stride = layer.in_channels // layer.groups, max(layer.stride)
        if tuple(layer.kernel_size) == (1, 1) and stride > 1 and channels < NARROWEST:
            return f"1 x 1 convolution of {channels} channels with stride {stride}"
    return None


def refuse_unsafe(students: Sequence[nn.Module]) -> None:
    """Raise TrainerError for a network that channels-last on a CPU would write outside of its memory."""
    for k, student in enumerate(students):
        if layer := unsafe_channels_last(student):
            raise TrainerError(
                f"channels_last = True: student {k}, a {type(student).__name__}, has a {layer}, whose gradient "
                f"corrupts memory on a CPU (oneDNN issue 6035); use a width of at least {NARROWEST}, or leave "
                "channels_last out"
            )


def build_students(
    text: str, shape: Shape, classes: int, *, seed: int = 0, width: int = 0, norm: str = "batch"
) -> list[nn.Module]:
    """The students of a run, each with starting weights of its own that depend on the seed and its number.

    Parameters
    ----------
    text : str
        The networks and their numbers, as for :func:`parse_students`.
    shape, classes
        Of a sample, and how many classes there are.
    seed : int
        Of the starting weights.
    width : int
        Of the networks of this file, 0 for their own.
    norm : str
        Normalisation of residual networks, batch or group.

    Raises
    ------
    TrainerError
        If a network is unknown, cannot be built for these samples, or has another number of outputs than classes.

    Examples
    --------
    >>> [type(student).__name__ for student in build_students("mlp,cnn:2", (1, 40), 10)]
    ['MLP', 'CNN', 'CNN']
    """
    names, students = parse_students(text), []
    for number, name in enumerate(names):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(f"{seed}/{number}".encode()))
            try:
                student = _network(name, shape, classes, {"width": width} if width else {}, norm)
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                raise TrainerError(
                    f"network {name!r} cannot be built for samples of shape {shape} ({reason})"
                ) from None
        students.append(student)
    for name, student in zip(names, students, strict=True):
        _check(name, student, shape, classes)
    if len({id(student) for student in students}) < len(students):
        raise TrainerError("a factory returned the same network twice: it must build a new one at every call")
    return students


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "cnn": CNN,
    "resnet": ResNet,
    "resnet18": partial(ResNet, width=64, stages=4, blocks=2),
    "vit": ViT,
}
"""The built-in networks: functions of the shape of a sample, the classes, a width and, where they have a choice, a
normalisation."""


def _network(name: str, shape: Shape, classes: int, width: dict[str, int], norm: str) -> nn.Module:
    if make := NETWORKS.get(name):
        chosen = {"norm": norm} if "norm" in inspect.signature(make).parameters else {}
        return make(shape, classes, **width, **chosen)
    library, _, rest = name.partition("/")
    if library == "timm" and rest:
        return _called(name, _imported("timm").create_model, rest, num_classes=classes, in_chans=shape[0])
    if library == "torchvision" and rest:
        return _called(name, _imported("torchvision.models").get_model, rest, weights=None, num_classes=classes)
    if ":" not in name:
        raise TrainerError(
            f"unknown network {name!r}: known are {', '.join(NETWORKS)}, timm/NAME, torchvision/NAME and "
            f"package.module:factory{did_you_mean(name, tuple(NETWORKS))}"
        )
    return own_function(name, "a function of the samples' shape and the classes")(shape, classes)


def own_function(name: str, expected: str) -> Callable[..., Any]:
    """What ``package.module:factory`` names; the module may lie in the working folder. What it raises becomes a line.

    Raises
    ------
    TrainerError
        If there is no such module or no such function in it, or they raise an error.
    """
    module, _, factory = name.partition(":")
    importable(Path.cwd())
    make = getattr(_imported(module), factory, None)
    if not callable(make):
        raise TrainerError(f"{module} has no function {factory}: expected {expected}")
    return partial(_called, name, make)


def _imported(module: str) -> Any:
    try:
        return _called(module, importlib.import_module, module)
    except ImportError as error:
        number = f"; so many of a network are written as {module}:2" if module in NETWORKS else ""
        raise TrainerError(f"{module} cannot be imported ({error}); install it or name another{number}") from None


def _called(what: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What somebody else's code returns; an error of its own is told with the line that raised it."""
    try:
        return function(*arguments, **options)
    except (ImportError, TrainerError):
        raise
    except (Exception, SystemExit) as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        where = "" if isinstance(error, SyntaxError) else f" ({Path(at.filename).name}, line {at.lineno})"
        said = f": {in_a_line(error)}" if isinstance(error, Exception) else ""
        raise TrainerError(f"{what} raised {type(error).__name__}{said}{where}") from error


def _check(name: str, student: Any, shape: Shape, classes: int) -> None:
    """A network takes the samples and has an output for each class."""
    if not isinstance(student, nn.Module):
        raise TrainerError(f"network {name!r} is a {type(student).__name__}: expected a torch.nn.Module")
    student.eval()
    try:
        with torch.no_grad():
            out = student(torch.zeros(2, *shape))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise TrainerError(f"network {name!r} does not take samples of shape {shape} ({reason})") from None
    student.train()
    if tuple(out.shape) != (2, classes):
        raise TrainerError(
            f"network {name!r} gives {tuple(out.shape[1:])} outputs a sample where the data has {classes} classes: "
            "all students need as many as there are classes"
        )
