"""Claims that check themselves: statement, derivation, numeric check, experiment, figure and verdict in one place.

Where to look
-------------
``claims/``, ``claim``
    One file a claim; what a claim is.
``checks/``
    What claims share: comparisons, panels, proofs, searches, replicas, networks.
``runner``, ``workers``, ``context``
    Running the checks of claims and controls, with their random streams.
``records``, ``results_folder``, ``plots``, ``report``
    What a run says, the directory that keeps it, and the figures and the page that are drawn from it alone.
``problem_check``, ``problem_interface``, ``problem_view``, ``sweep``
    A problem of the user's own on trial; many simulations, each once.
``trainer/``, ``monitor/``
    The trainer of K students; the bias budget in anybody's loop, which knows no trainer.
``cli``, ``commands/``
    The command line.
"""

import os

# SymPy keeps the last thousand results of each of its functions by default; proofs come back to more.
os.environ.setdefault("SYMPY_CACHE_SIZE", "20000")
