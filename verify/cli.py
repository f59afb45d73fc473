"""The command line: ``rdml`` and ``python -m verify`` are the same program."""

from __future__ import annotations

import io
import os
import sys
import traceback
from typing import NoReturn

import click
from rich.markup import escape

from verify.commands.bound import bound_command
from verify.commands.claims import list_claims, plot_command, report_command, run_command
from verify.commands.common import EXIT_CODES, errors
from verify.commands.problems import sweep_command, verify_problem_command
from verify.commands.train import train_command

__all__ = ["app", "main"]

# Importing SymPy, SciPy and Matplotlib takes a second or two, which `--help` and wrong usage need not pay: the
# commands import what they use.


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EXIT_CODES)
@click.version_option(package_name="rdml-theory")
def app() -> None:
    """Check the theory of Rényi-divergence deep mutual learning by running it.

    Each claim ties a statement to its derivation, its numeric check, its experiment and its figure. Each has false
    twins (controls), which the same code must refute.

    \b
    Start with
      rdml list                  the claims
      rdml run D1                one of them confirmed, its false twins refuted
      rdml run --out results     all of them; then open results/report.html
    """  # noqa: D301 - click reads the backspace as "do not wrap"


for _command in (
    list_claims,
    run_command,
    plot_command,
    report_command,
    bound_command,
    sweep_command,
    verify_problem_command,
    train_command,
):
    app.add_command(_command)


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


def _outcome_of_app() -> int:
    """Run the app; every fault becomes a line on standard error and a documented exit code."""
    try:
        code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        errors().print("interrupted")
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        return 2
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
    except OSError as error:
        _complain(" ".join(str(error).split()))
        return 2
    except Exception as error:
        if isinstance(error, ImportError) and "pip install 'rdml-theory[" in str(error):
            # An extra that some claims need: its error says which.
            _complain(" ".join(str(error).split()))
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
    try:
        code = _outcome_of_app()
    except (BrokenPipeError, SystemExit):
        # Nobody reads the error messages either.
        code = 141
    _leave(code)
