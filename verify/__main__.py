"""The command line: ``python -m verify`` and ``rdml``."""

import sys  # nothing more out here: an interrupt would be a traceback

__all__ = ["main"]

_OWN = ("rdml_theory", "convergence", "verify")


def main() -> None:
    """Run the command line; an interrupt while it is still being imported is one line, too."""
    try:
        from verify.cli import main as run
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _OWN:
            raise
        print(f"error: this command needs {error.name}: pip install 'rdml-theory[verify]'", file=sys.stderr)
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
