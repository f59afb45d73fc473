"""A compact trainer for K students that learn from each other, which measures what the theory says about them.

`Config` says what a run depends on, `train` runs it, `Trainer` is the same step by step and without files, and
`BiasMonitor` measures the bias budget in anybody's loop. `python -m verify train` is the command line.
"""

from verify.trainer.budget import Advice, BiasRecord, Budget
from verify.trainer.config import Config, TrainerError, read_config
from verify.trainer.monitor import BiasMonitor
from verify.trainer.run import Result, StoppedError, train
from verify.trainer.trainer import DivergedError, Trainer

__all__ = [
    "Advice", "BiasMonitor", "BiasRecord", "Budget", "Config", "DivergedError", "Result", "StoppedError", "Trainer",
    "TrainerError", "read_config", "train",
]  # fmt: skip
