"""The lowest versions that pyproject.toml allows, as constraints of pip: what `make test-lowest` installs."""

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())["project"]
GROUPS = (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
# What a lowest version brings has no bound of ours, and a warning of it fails the tests: Matplotlib 3.9 calls functions
# that pyparsing 3.3 deprecates.
BROUGHT = ["pyparsing<3.3"]


def constraints() -> list[str]:
    """``name==lowest`` of each dependency that has a lower bound."""
    found = (re.fullmatch(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)", entry) for group in GROUPS for entry in group)
    return sorted({f"{match[1]}=={match[2]}" for match in found if match})


if __name__ == "__main__":
    print("\n".join(constraints() + BROUGHT))
