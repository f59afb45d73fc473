"""What a training run depends on: one frozen dataclass, from flags, TOML or JSON, stored with every run."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from convergence.arguments import did_you_mean, shown
from verify.reading import read_json, read_toml
from verify.trainer.errors import TrainerError

__all__ = ["Config", "changed", "described", "differences", "read_config"]

Curve = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class Config:
    """A training run of K students that learn from each other.

    Examples
    --------
    >>> Config(students="cnn:2", alpha=0.5).name
    'mnist1d_cnnx2_a0.5_b1_s0'
    """

    students: str = "cnn:2"
    """Networks, and how many of each, such as cnn:2,mlp:1: built-in ones, timm/NAME, torchvision/NAME, or
    package.module:factory for your own."""
    data: str = "mnist1d"
    """mnist1d, digits, idx, cifar10, cifar100, npz, folder, torchvision/NAME, or package.module:factory."""
    data_dir: Path | None = None
    """Folder with the files of idx, cifar10, cifar100, folder or torchvision; for npz, the file."""
    validation: float = 0.1
    """Share of the training samples held out to select the best weights; the test samples select nothing."""
    alpha: float = 1.0
    """Order of the Rényi divergence, at least 0."""
    alpha_end: float | None = None
    """Order at the end, if it changes."""
    alpha_schedule: Literal["constant", "linear", "cosine", "learned"] = "constant"
    """How the order changes. A learned one starts at alpha; the mutual loss alone always lowers it."""
    beta: float = 1.0
    """Weight of the mutual loss, at least 0; 0 trains independent students."""
    beta_end: float | None = None
    """Weight at the end, if it changes."""
    beta_schedule: Curve = "constant"
    """How the weight changes."""
    beta_warmup: float = 0.0
    """Epochs over which the weight rises from 0."""
    temperature: float = 1.0
    """Divides the logits in the mutual loss."""
    update: Literal["simultaneous", "sequential"] = "simultaneous"
    """All students at once, or one after the other, each seeing its peers' latest weights."""
    label_smoothing: float = 0.0
    """Label smoothing of the cross-entropy, in [0, 1)."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """One optimizer for all students."""
    lr: float = 0.05
    """Learning rate."""
    lr_schedule: Literal["constant", "step", "cosine"] = "cosine"
    """Cosine and warm-up follow the step, step the epoch."""
    lr_milestones: tuple[int, ...] = ()
    """Epochs after which a step schedule multiplies the rate by lr_gamma."""
    lr_gamma: float = 0.1
    """Factor of a step schedule."""
    lr_warmup: float = 0.0
    """Epochs over which the rate rises from 0."""
    momentum: float = 0.9
    """Momentum of SGD."""
    nesterov: bool = True
    """Nesterov's momentum, if momentum is not 0."""
    weight_decay: float = 5e-4
    """Added to the gradient (SGD) or decoupled (AdamW)."""
    clip: float = 0.0
    """Largest gradient norm of each student, 0 for no clipping."""
    epochs: int = 100
    """Passes over the training samples; an incomplete last batch is left out."""
    batch: int = 128
    """Samples per step, over all processes."""
    seed: int = 0
    """Seed of the random numbers."""
    width: int = 0
    """Width of the networks, 0 for the default."""
    norm: Literal["batch", "group"] = "batch"
    """Normalisation of residual networks."""
    augment: Literal["none", "shift", "crop-flip"] = "none"
    """shift: signals move by up to 4; crop-flip: images padded by 4, cropped, mirrored."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    threads: int = 1
    """Torch threads on a CPU; small networks are fastest with one."""
    precision: Literal["float32", "bfloat16", "float16", "float64"] = "float32"
    """Precision of the networks; losses and weights are float32, or all is float64. float16 scales its gradients."""
    channels_last: bool = False
    """Memory layout of images."""
    compile: bool = False
    """Compile the networks with torch.compile."""
    monitor: float = 0.2
    """Share of the training work spent on measuring the bias budget, 0 for none."""
    monitor_samples: int = 1024
    """Samples of the measurement, 0 for all."""
    checkpoint_every: int = 5
    """Epochs between checkpoints, besides the last one and the best ones."""
    tensorboard: bool = False
    """Also write TensorBoard events (needs the package tensorboard)."""
    out: Path = Path("results/train")
    """Runs go into folders of this one, named after data, networks, order, weight and seed."""

    def __post_init__(self) -> None:
        """Check each field, and give it its type: 2 is the order 2.0, and a text the path that it names."""
        for name, hint in _hints().items():
            object.__setattr__(self, name, _converted(name, getattr(self, name), hint))
        for name, (low, high, words) in _RULES.items():
            value = getattr(self, name)
            infinite = name == "alpha" and value == math.inf
            if not (value is None or infinite or low <= value < high):
                raise TrainerError(f"{name} = {shown(value)}: expected {words}")
        for name in ("alpha", "beta"):
            curve, end = getattr(self, f"{name}_schedule"), getattr(self, f"{name}_end")
            if (curve in ("linear", "cosine")) != (end is not None):
                raise TrainerError(f"{name}_schedule = {curve!r} with {name}_end = {end!r}: give both or neither")
        if self.alpha_schedule != "constant" and math.isinf(self.alpha):
            raise TrainerError("alpha = inf: only a constant order may be infinite")
        if self.alpha_schedule == "learned" and not 0.05 < self.alpha < 20:
            raise TrainerError(f"alpha = {self.alpha:g}: a learned order starts between 0.05 and 20")
        if self.lr_schedule == "step" and not self.lr_milestones:
            raise TrainerError("lr_schedule = 'step' needs lr_milestones, e.g. (60, 120, 160)")
        if min(self.lr_milestones, default=0) < 0:
            raise TrainerError(f"lr_milestones = {shown(self.lr_milestones)}: expected epochs of at least 0")

    @property
    def name(self) -> str:
        """Data, networks, order, weight and seed."""

        def ramp(start: float, end: float | None, schedule: str) -> str:
            mark = "~" if schedule == "learned" else ""
            return f"{start:g}{mark}" if end is None else f"{start:g}-{end:g}"

        networks = self.students.replace(":", "x").replace(",", "+").replace("/", ".").replace(" ", "")
        alpha = ramp(self.alpha, self.alpha_end, self.alpha_schedule)
        beta = ramp(self.beta, self.beta_end, self.beta_schedule) + (
            f"w{self.beta_warmup:g}" if self.beta_warmup else ""
        )
        return f"{self.data.replace('/', '.').replace(':', '.')}_{networks}_a{alpha}_b{beta}_s{self.seed}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :func:`read_config` reads them back."""
        fields = dataclasses.asdict(self)
        return {k: str(v) if isinstance(v, Path) or v == math.inf else v for k, v in fields.items()}


def described() -> dict[str, str]:
    """What each field is, from the line below it.

    >>> described()["optimizer"]
    'One optimizer for all students.'
    """
    lines: Any = ast.parse(inspect.getsource(Config)).body[0]
    fields = [(line, below) for line, below in pairwise(lines.body) if isinstance(line, ast.AnnAssign)]
    return {ast.unparse(line.target): " ".join(below.value.value.split()) for line, below in fields}


_INF = math.inf
_MANY = 10**9
_RULES: dict[str, tuple[float, float, str]] = {
    "alpha": (0, _INF, "an order of at least 0"),
    "alpha_end": (0, _INF, "a finite order of at least 0"),
    "beta": (0, _INF, "a finite weight of at least 0"),
    "beta_end": (0, _INF, "a finite weight of at least 0"),
    "beta_warmup": (0, _MANY, "epochs, from 0 to a billion"),
    "temperature": (5e-324, _INF, "a positive number"),
    "label_smoothing": (0, 1, "a number in [0, 1)"),
    "validation": (0, 1, "a share in [0, 1)"),
    "lr": (0, _INF, "a finite rate of at least 0"),
    "lr_gamma": (5e-324, _INF, "a positive factor"),
    "lr_warmup": (0, _MANY, "epochs, from 0 to a billion"),
    "momentum": (0, 1, "a number in [0, 1)"),
    "weight_decay": (0, _INF, "a finite number of at least 0"),
    "clip": (0, _INF, "a norm, or 0 for none"),
    "epochs": (1, _MANY, "a number from 1 to a billion"),
    "batch": (1, _MANY, "a number from 1 to a billion"),
    "seed": (0, 2**63, "a number from 0 to 2^63 - 1"),
    "width": (0, 2**16, "a width below 65,536, or 0 for the network's own"),
    "threads": (1, 4096, "at least 1"),
    "monitor": (0, 100, "a share of the training work, such as 0.2, or 0"),
    "monitor_samples": (0, _MANY, "a number of samples, or 0 for all"),
    "checkpoint_every": (1, _MANY, "a number from 1 to a billion"),
}


def read_config(source: Path | dict[str, Any]) -> Config:
    """A configuration from a TOML or JSON file, or from such a file's content.

    Raises
    ------
    TrainerError
        If the file cannot be read, or a field is unknown or of the wrong type.

    Examples
    --------
    >>> read_config({"alpha": 2, "lr_milestones": [60, 120]}).lr_milestones
    (60, 120)
    """
    where, content = "", source
    if isinstance(source, Path):
        where = f"{source}: "
        try:
            content = (read_json if source.suffix == ".json" else read_toml)(source, what="the configuration")
        except ValueError as error:
            raise TrainerError(str(error)) from None
    if not isinstance(content, dict):
        raise TrainerError(f"{where}expected a table of fields")
    return changed(Config(), content, where)


def changed(config: Config, values: Mapping[str, Any], where: str = "") -> Config:
    """A configuration with other values of some fields, as files have them; ``where`` begins what errors say."""
    hints = _hints()
    if unknown := sorted(values.keys() - hints.keys()):
        raise TrainerError(
            f"{where}unknown field {shown(unknown[0])}; known are {', '.join(hints)}{did_you_mean(unknown[0], hints)}"
        )
    try:
        return dataclasses.replace(config, **values)
    except TrainerError as error:
        raise TrainerError(where + str(error)) from None


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Config)


# What may differ between the parts of a resumed run.
_FREE = {"out", "data_dir", "device", "threads", "checkpoint_every", "tensorboard"}


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """The fields in which two configurations (as :meth:`Config.to_json` gives them) differ, but for those that may."""
    # As JSON: a stored configuration has lists where a fresh one has tuples.
    one, two = (json.loads(json.dumps(dict(c))) for c in (first, second))
    return sorted(k for k in one.keys() | two.keys() if k not in _FREE and one.get(k) != two.get(k))


_KINDS = {
    int: "an integer", float: "a number such as 0.5", bool: "true or false", str: "a text", Path: "a path",
    tuple[int, ...]: "integers such as 60,120",
}  # fmt: skip


def _converted(name: str, value: Any, hint: Any) -> Any:
    """The value as the field's type has it: JSON and TOML know neither tuples nor paths."""
    options = get_args(hint)
    if type(None) in options:
        if value is None:
            return None
        hint = next(o for o in options if o is not type(None))
    wrong = TrainerError(f"{name} = {shown(value)}: expected {_KINDS.get(hint)}")
    if hint is Path:
        if isinstance(value, str | Path) and "\0" not in str(value):
            return Path(value)
    elif getattr(hint, "__origin__", None) is tuple:
        if type(value) is int:
            return (value,)
        if isinstance(value, list | tuple) and all(type(v) is int for v in value):
            return tuple(value)
    elif getattr(hint, "__origin__", None) is Literal:
        if isinstance(value, str) and value in options:
            return value
        meant = did_you_mean(value, map(str, options))
        raise TrainerError(f"{name} = {shown(value)}: expected one of {', '.join(map(str, options))}{meant}")
    elif hint is float:
        if isinstance(value, str) and value == "inf":
            return math.inf
        if isinstance(value, Real) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                raise wrong from None
    elif hint is int:
        if isinstance(value, Integral) and not isinstance(value, bool):
            return int(value)
    elif isinstance(value, hint):
        return value
    raise wrong
