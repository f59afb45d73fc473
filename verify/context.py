"""What a check is given: the profile, its random streams, its error rate, and a place for shared measurements."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Literal, TypeVar

import numpy as np

from convergence.store import seal

__all__ = ["Context", "ProfileName"]

ProfileName = Literal["quick", "full"]
T = TypeVar("T")


@dataclass
class Context:
    """The surroundings of one check of one claim.

    Random streams are named: their numbers depend on the run's seed, the claim, the check and the names given, never
    on the order of execution or on the subject, so that a claim and its negative controls see the same data.
    """

    claim: str
    check: str
    profile: ProfileName
    seed: int
    error_rate: float
    progress: Callable[[float], None] = lambda fraction: None
    _shared: dict[Hashable, Any] = field(default_factory=dict)

    def pick(self, *, quick: T, full: T) -> T:
        """The value for the profile of this run."""
        return quick if self.profile == "quick" else full

    def seed_for(self, *names: object) -> int:
        """A 63-bit seed for the stream with these names.

        >>> c = Context("D1", "numeric", "quick", 0, 1e-3)
        >>> c.seed_for("a") == c.seed_for("a"), c.seed_for("a") == c.seed_for("b")
        (True, False)
        """
        stream = "/".join(str(part) for part in (self.seed, self.claim, self.check, *names))
        return int(seal(stream)[:16], 16) >> 1

    def rng(self, *names: object) -> np.random.Generator:
        """The generator of the stream with these names."""
        return np.random.Generator(np.random.PCG64DXSM(self.seed_for(*names)))

    def shared(self, compute: Callable[..., T], /, *arguments: Any, **named: Any) -> T:
        """What a function returns for these arguments: computed once, for the claim and its negative controls.

        It is known by the function and the values of its arguments, so that whatever depends on the subject is computed
        for each; a context among them counts as any.

        Raises
        ------
        TypeError
            If the function, or one in its arguments, is not one of a module: what it holds besides is no argument.

        Examples
        --------
        >>> c, rows = Context("D1", "numeric", "quick", 0, 1e-3), np.arange(3)
        >>> c.shared(np.sum, rows) is c.shared(np.sum, np.arange(3)), c.shared(np.sum, rows + 1)
        (True, np.int64(6))
        >>> c.shared(lambda: rows)
        Traceback (most recent call last):
        ...
        TypeError: <lambda>: expected a function defined in a module
        """
        key = _by_value((compute, arguments, named))
        if key not in self._shared:
            self._shared[key] = compute(*arguments, **named)
        return self._shared[key]

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """The items of a loop, one after the other; how many are done is the check's progress."""
        every = list(items)
        for done, item in enumerate(every, 1):
            yield item
            self.progress(done / len(every))


def _by_value(x: Any) -> Hashable:
    """The same for equal values: arrays, generators in the same state, objects with the same parts."""
    if isinstance(x, Context):
        return Context
    if isinstance(x, FunctionType):
        if "<" in x.__qualname__:
            raise TypeError(f"{x.__qualname__}: expected a function defined in a module")
        return x
    if isinstance(x, MethodType):
        return x.__func__, _by_value(x.__self__)
    if isinstance(x, partial):
        return partial, _by_value((x.func, x.args, x.keywords))
    if isinstance(x, np.ndarray):
        # The bytes of objects are where they lie.
        whole = _by_value(x.tolist()) if x.dtype.hasobject else seal(x.tobytes())
        return x.shape, x.dtype.str, whole
    if isinstance(x, np.random.Generator):
        return str(x.bit_generator.state)
    if isinstance(x, slice):  # which has a hash from Python 3.12 on
        return slice, x.start, x.stop, x.step
    if isinstance(x, list | tuple):
        return type(x), *map(_by_value, x)
    if isinstance(x, Mapping):
        return tuple((name, _by_value(value)) for name, value in x.items())
    try:
        hash(x)
    except TypeError:
        pass
    else:
        if isinstance(x, type) or type(x).__eq__ is not object.__eq__ or not hasattr(x, "__dict__"):
            return type(x), x  # 1 and True are equal
    parts = {part.name: getattr(x, part.name) for part in fields(x)} if is_dataclass(x) else vars(x)
    return type(x), _by_value(parts)
