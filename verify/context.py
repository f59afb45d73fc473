"""What a check is given: the profile, its random streams, its error rate, and a place for shared measurements."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

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
        key = "/".join(str(part) for part in (self.seed, self.claim, self.check, *names))
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1

    def rng(self, *names: object) -> np.random.Generator:
        """The generator of the stream with these names."""
        return np.random.Generator(np.random.PCG64DXSM(self.seed_for(*names)))

    def shared(self, key: Hashable, compute: Callable[..., T], *arguments: Any) -> T:
        """A measurement that does not depend on the subject: computed once, for the claim and its negative controls."""
        if key not in self._shared:
            self._shared[key] = compute(*arguments)
        return self._shared[key]

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """The items of a loop, one after the other; how many are done is the check's progress."""
        every = list(items)
        for done, item in enumerate(every, 1):
            yield item
            self.progress(done / len(every))
