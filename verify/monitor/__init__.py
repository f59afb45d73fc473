"""The bias budget of mutual learning, measured in anybody's training loop.

`BiasMonitor` measures what pulls each student; `Budget` and `Advice` are what the measurements amount to. Nothing here
knows the trainer of this toolkit.
"""

from verify.monitor.budget import Advice, BiasRecord, Budget
from verify.monitor.monitor import BiasMonitor

__all__ = ["Advice", "BiasMonitor", "BiasRecord", "Budget"]
