"""Claims that check themselves: statement, derivation, numeric check, experiment, figure and verdict in one place.

Where to look
-------------
``claims/``, ``claim``
    One file a claim; what a claim is.
``checks/``
    What claims share: comparisons, panels, proofs, searches, replicas, networks.
``runner``, ``workers``, ``context``
    Running the checks of claims and controls, with their random streams.
``records``, ``results_folder``, ``exports``
    What a run says, the directory that keeps it, and its forms for other programs.
``plots``, ``figure_panel``, ``figure_layout``, ``figure_names``, ``figure_style``
    Figures, drawn from records alone.
``report``, ``formulas``, ``names``, ``paragraphs``, ``templates/``
    The report, from records alone; how statements and formulas are set.
``problem_check``, ``problem_interface``, ``sweep``
    A problem of the user's own on trial; many simulations, each once.
``trainer/``, ``monitor/``
    The trainer of K students; the bias budget in anybody's loop, which knows no trainer.
``cli``, ``commands/``
    The command line.
"""

import os

# SymPy keeps the last thousand results of each of its functions by default; proofs come back to more.
os.environ.setdefault("SYMPY_CACHE_SIZE", "20000")
