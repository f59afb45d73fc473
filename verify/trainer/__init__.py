"""A compact trainer for K students that learn from each other, which measures what the theory says about them.

`Config` says what a run depends on, `train` runs it, `Trainer` is the same step by step and without files, and
`BiasMonitor` measures the bias budget in anybody's loop (`verify.monitor` has it without the trainer).
`python -m verify train` is the command line.

A configuration goes one way: `config` reads it, `trainer` resolves it into data (`data`), networks (`networks`), rate,
order and weight, and the update (`update`); `run` goes through the steps, `folder` keeps what they leave, `comparison`
makes many runs.
"""

from verify.monitor import Advice, BiasMonitor, BiasRecord, Budget
from verify.trainer.config import Config, read_config
from verify.trainer.errors import DivergedError, StoppedError, TrainerError
from verify.trainer.folder import Result
from verify.trainer.run import train
from verify.trainer.trainer import Trainer

__all__ = [
    "Advice", "BiasMonitor", "BiasRecord", "Budget", "Config", "DivergedError", "Result", "StoppedError", "Trainer",
    "TrainerError", "read_config", "train",
]  # fmt: skip
