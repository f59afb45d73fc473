"""Write the tables of the trainer's page from their records, or say that the page differs from them.

    python benchmarks/trainer_tables.py [--check]

In the page a table, and in words what it says, stand between the lines ``<!-- NAME.json -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from convergence.store import write
from verify.trainer.comparison import in_words, markdown, read_comparison

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "trainer.md"


def page(text: str) -> str:
    """The page with its tables as the records have them."""

    def table(found: re.Match[str]) -> str:
        record = read_comparison(HERE / found[2])
        words = "\n".join(f"- {line}" for line in in_words(record).splitlines())
        return f"{found[1]}\n{markdown(record).rstrip()}\n\n{words}\n\n{found[3]}"

    return re.sub(r"(<!-- (\S+\.json) -->\n).*?(<!-- end -->)", table, text, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page differs")
    options = parser.parse_args()
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if options.check and new != old:
        sys.exit(f"{PAGE}: differs from the records; run `python benchmarks/trainer_tables.py`")
    write(PAGE, new)


if __name__ == "__main__":
    main()
