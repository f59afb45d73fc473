"""The command line: ``rdml`` and ``python -m verify`` are the same program."""

from __future__ import annotations

import io
import os
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn

import click
from rich.markup import escape

from verify.commands.advise import advise_command
from verify.commands.bound import bound_command
from verify.commands.catalogue import list_command, recipes_command, show_command
from verify.commands.claims import plot_command, report_command, run_command
from verify.commands.common import EXIT_CODES, errors
from verify.commands.doctor import doctor_command
from verify.commands.problems import sweep_command, verify_problem_command
from verify.commands.prove import prove_command
from verify.commands.train import train_command
from verify.reading import ClaimError, in_a_line

__all__ = ["app", "main"]

# Importing SymPy, SciPy and Matplotlib takes a second or two, which `--help` and wrong usage need not pay: the
# commands import what they use.


class _InOrder(click.Group):
    """Commands in the order in which they are added: what to begin with comes first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(self.commands)


@click.group(
    cls=_InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES,
    invoke_without_command=True,
)
@click.version_option(package_name="rdml-theory")
@click.pass_context
def app(context: click.Context) -> None:
    """Check the theory of Rényi-divergence deep mutual learning by running it.

    Each claim ties a statement to its derivation, its numeric check, its experiment and its figure. Each has negative
    controls, false versions of it, which the same code must refute.

    \b
    Start with
      rdml list                  list the claims
      rdml show D1               show one of them, and what it means
      rdml run D1                test it
      rdml run --out results     test all of them; then open results/report.html
    """  # noqa: D301 - click reads the backspace as "do not wrap"
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit(2)


for _command in (
    list_command,
    show_command,
    run_command,
    prove_command,
    plot_command,
    report_command,
    bound_command,
    advise_command,
    sweep_command,
    verify_problem_command,
    train_command,
    recipes_command,
    doctor_command,
):
    app.add_command(_command)


class _Forgiving:
    """Standard error: what it cannot take is lost, since there is no other place to say so, and no outcome changes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _leave(code: int) -> NoReturn:
    """Exit; what can no longer be written must not cause a message at shutdown."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _complain(message: str) -> None:
    errors().print(f"error: {escape(message)}", soft_wrap=True)


_EXTRAS = {
    "torch": "torch", "safetensors": "train", "z3": "proofs", "flint": "proofs", "clarabel": "sdp",
    "distributed": "distributed", "sympy": "verify", "mpmath": "verify", "matplotlib": "verify", "sklearn": "verify",
    "pydantic": "verify", "jinja2": "verify", "latex2mathml": "verify", "threadpoolctl": "verify",
}  # fmt: skip


def _missing_extra(error: ImportError) -> str | None:
    """The line about an extra that is not installed, which some claims need; None for any other failed import."""
    message = in_a_line(error, None)
    if "pip install 'rdml-theory[" in message:
        return message
    extra = _EXTRAS.get((error.name or "").partition(".")[0]) if isinstance(error, ModuleNotFoundError) else None
    return extra and f"this needs {error.name}; install it with: pip install 'rdml-theory[{extra}]'"


def _outcome_of_app() -> int:
    """Run the app; every fault becomes a line on standard error and a documented exit code."""
    try:
        code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        errors().print("interrupted")
        return 130
    except click.UsageError as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        _complain(" ".join(error.format_message().split()) + hint)
        return 2
    except click.ClickException as error:
        _complain(error.format_message())
        return error.exit_code
    except BrokenPipeError:
        return 141
    except SystemExit as ending:
        # click and rich end a program whose reader is gone with 1, which would read as a refuted claim.
        return 141 if ending.code else 0
    except (OSError, ClaimError) as error:
        _complain(in_a_line(error, None))
        return 2
    except Exception as error:
        if isinstance(error, ImportError) and (missing := _missing_extra(error)):
            _complain(missing)
            return 2
        traceback.print_exc()
        _complain("internal error; please report it with the traceback above")
        return 70
    return code if isinstance(code, int) else 0


def main() -> NoReturn:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # Terminals that lack a letter show a question mark for it.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    stderr, code = sys.stderr, 70
    try:
        if stderr is not None:
            sys.stderr = _Forgiving(stderr)
        code = _outcome_of_app()
    except KeyboardInterrupt:  # a second one, while the first was being told
        code = 130
    finally:
        sys.stderr = stderr
    _leave(code)
