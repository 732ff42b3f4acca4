"""The `edgeanim` command: finds the subcommand, shows errors as one paragraph, sets the exit code.

Exit codes: 0 done, 1 a gate failed, 2 usage, 3 bad input, 4 a component is missing, 5 a device
failed, 6 a mistake of edgeanim's own, 130 interrupted, 128 + N ended by the signal N. Imports
nothing but click and the errors, so that `--help` is instant.
"""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from edgeanim import __version__
from edgeanim.cli import streams
from edgeanim.core.errors import (
    EXIT_INTERRUPTED,
    EXIT_MISTAKE,
    BadInput,
    DeviceFailed,
    EdgeanimError,
    MissingComponent,
    disk_error,
    first_line,
    memory_errors,
    printable,
)
from edgeanim.core.interruption import anything_kept, end_with, raise_unacknowledged

# One line each; the module `edgeanim.cli.<name>` holds the command itself.
COMMANDS = {
    "demo": "Run the whole workflow on the shipped animator.",
    "export": "Export a PyTorch module as a model.",
    "inspect": "Show a model's graphs, contract, size and problems.",
    "prune": "Remove whole channels and recover by distillation.",
    "quantize": "Quantise to INT8 within a drift limit.",
    "optimize": "Find the fastest form within a drift limit, measured here.",
    "compile": "Compile for one or all backends into a bundle.",
    "bench": "Measure latency, drift and memory, here or on a board.",
    "compare": "Compare reports; fail on a limit.",
    "animate": "Animate a still with a bundle.",
    "sign": "Sign a bundle, for machines that open only signed ones.",
    "deploy": "Put a bundle and edgeanim's code on a board, and test it there.",
    "emulate": "Test a bundle on an emulated processor.",
    "project": "Project the time of a frame on a board that is not here.",
    "motion": "Extract and list stored motions.",
    "dataset": "Make, import and show training material.",
    "train": "Train an animator, or adapt one to your own character.",
    "evaluate": "Score an animator on characters it never saw.",
    "boards": "List the boards, or show one.",
    "backends": "List the backends and whether they run here.",
    "doctor": "Check this machine and every backend on it.",
}

_BREAKS = str.maketrans("\n\t", "  ")


class LazyCommands(click.Group):
    """Imports a command's module only when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which a user meets them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import `edgeanim.cli.<cmd_name>` and take its `command`."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"edgeanim.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above instead of importing them all."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """An unknown command names the nearest known one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from edgeanim.core.parsing import nearest

            hint = nearest(args[0], list(COMMANDS))
            raise click.UsageError(f"There is no command {args[0]!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: edgeanim demo",
)
@click.version_option(__version__, prog_name="edgeanim")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens to standard error.")
def cli(verbose: bool) -> None:
    """Run image-animation networks on small machines.

    Prune, quantise to INT8 and compile for ONNX Runtime, OpenVINO and TFLite; measure cost and
    drift; animate offline; compare the reports.
    """
    if verbose:
        import logging

        logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("edgeanim").setLevel(logging.DEBUG)


def main() -> NoReturn:
    """Run the command line and exit with the code from the table above."""
    streams.prepare()
    _heed_signals()
    try:
        with memory_errors("Out of memory.", "Use fewer samples or a machine with more memory."):
            _must_be_somewhere()
            code = cli.main(standalone_mode=False) or 0  # an exit code from `ctx.exit`, else None
            raise_unacknowledged()
    except EdgeanimError as error:
        code = _fail(error)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):  # click has ended the line
        kept = " Finished stages are kept; run it again to go on." if anything_kept() else ""
        click.echo(f"Interrupted.{kept}", err=True)
        code = EXIT_INTERRUPTED
    except OSError as error:
        code = _refused(error)
    except ImportError as error:
        module = (error.name or "").partition(".")[0]
        code = _mistaken(error) if module == "edgeanim" else _fail(_not_whole(module, error))
    except Exception as error:
        code = _mistaken(error)
    if code == EXIT_INTERRUPTED:
        _exit_interrupted(code)
    sys.exit(code)


def _must_be_somewhere() -> None:
    """`BadInput` in a folder that was removed: each package would fail there in a way of its own,
    some without a word."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise BadInput(
            "The folder in which this command runs is no longer there.",
            hint="Change into another one, or anew into the one that took its place.",
        ) from error


def _exit_interrupted(code: int) -> None:
    """Clean up and end with `code`. Where a KeyboardInterrupt passed through code which a native
    module ran, the interpreter remembers it, and `python -m` ends with the signal instead."""
    import ctypes

    # At a further Ctrl-C, Python would print a traceback of whatever it calls at exit.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout.flush()
    ctypes.pythonapi.Py_Exit(code)


def _heed_signals() -> None:
    """A plain `kill` or a closed terminal ends us as Ctrl-C does: workers end, scratch folders go.
    What is ignored (by `nohup`, say) stays ignored; the second `kill` ends us at once."""

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        end_with(KeyboardInterrupt())

    def end(number: int, frame: object) -> None:
        del frame
        signal.signal(number, signal.SIG_DFL)
        end_with(SystemExit(128 + number))

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def _fail(error: EdgeanimError) -> int:
    import textwrap

    text = f"Error: {_in_a_line(str(error))}"
    # A command is to be pasted: what a line's end cuts off of it would be another command.
    command = _in_a_line(error.hint or "").partition(" with: ")[2]
    text = text.removesuffix(command) + command.replace(" ", "\0")
    text = textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)
    click.echo(text.replace("\0", " "), err=True)
    return error.exit_code


def _mistaken(error: Exception) -> int:
    """What nobody foresaw. Python itself would end with the code of a gate that failed."""
    import traceback

    text = "".join(traceback.format_exception(error)).rstrip()
    click.echo("\n".join(map(printable, text.split("\n"))), err=True)
    click.echo(
        f"This is a mistake in edgeanim {__version__}. Please report it: the lines above, the "
        "command, and what\n`edgeanim doctor` prints.",
        err=True,
    )
    return EXIT_MISTAKE


def _in_a_line(text: str) -> str:
    """What a runtime says may have several, and is told in one paragraph."""
    return printable(text.translate(_BREAKS))


def _not_whole(module: str, error: ImportError) -> EdgeanimError:
    """What edgeanim always needs is absent, or was built for another system or NumPy."""
    from edgeanim.core.requirements import base_install_line

    what = f"The package {module!r}" if module else "A package that edgeanim needs"
    missing = MissingComponent(f"{what} cannot be imported ({first_line(error)}).", extra="")
    missing.hint = f"Install it with: {base_install_line(module)}"
    return missing


def _refused(error: OSError) -> int:
    try:
        print(end="", flush=True)
    except OSError as unwritten:
        streams.drop(sys.stdout.fileno())
        what = f"Standard output cannot be written: {unwritten.strerror}."
        return _fail(DeviceFailed(what, hint="Send it to another place."))
    return _fail(disk_error(error))
