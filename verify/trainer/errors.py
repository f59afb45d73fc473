"""How a run may end early: a mistake that the user can mend, a loss that is not finite, a signal."""

__all__ = ["DivergedError", "StoppedError", "TrainerError"]


class TrainerError(ValueError):
    """Something the user can mend, in one line: what came, what is allowed, what to do."""


class DivergedError(TrainerError):
    """A loss that is not finite."""


class StoppedError(Exception):
    """Ctrl-C or SIGTERM; the run was saved and can be resumed."""
