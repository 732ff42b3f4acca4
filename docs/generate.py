"""The pages made from the code: `python docs/generate.py` writes them, a test holds them equal."""

from __future__ import annotations

from pathlib import Path

import click
import fields

from edgeanim.cli.boards import describe
from edgeanim.cli.main import COMMANDS, cli
from edgeanim.targets.board import LOCAL, Board, board_names, load_shipped_board

HERE = Path(__file__).resolve().parent
NOTE = "<!-- Made by docs/generate.py; do not edit. -->\n\n"
_OWN = (
    "Each board is a TOML in [`targets/boards`](../targets/boards). For a machine of your own, "
    "copy the one most like it,\nchange what differs, and give `--board FILE.toml`. Unverified "
    "means that nothing was measured on the real machine.\n\n"
)


def commands_page() -> str:
    """Every command's help, as `--help` prints it on a terminal of 100 columns."""
    settings = cli.context_settings
    context = click.Context(cli, info_name="edgeanim", terminal_width=100, **settings)
    listed = "".join(f"- [`{name}`](#edgeanim-{name}): {says}\n" for name, says in COMMANDS.items())
    parts = [f"# Commands\n\n{NOTE}{listed}"]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        parts.append(_help(command, name, context))
        if isinstance(command, click.Group):
            inner = click.Context(command, parent=context, info_name=name, terminal_width=100)
            for sub in command.list_commands(inner):
                nested = command.get_command(inner, sub)
                assert nested is not None
                parts.append(_help(nested, sub, inner))
    return "\n".join(parts)


def boards_page() -> str:
    """The table of boards, and what `edgeanim boards show` says of each, from their TOMLs."""
    rows = [
        "| board | machine | cores | backends, in order | INT8 | status |",
        "|---|---|---|---|---|---|",
    ]
    shipped = [load_shipped_board(name) for name in board_names()]
    rows += [_board_row(board) for board in shipped]
    parts = [f"# Boards\n\n{NOTE}{_OWN}", *(f"{row}\n" for row in rows)]
    for board in shipped:
        if board.name != LOCAL:
            lines = "\n".join(describe(board))
            parts.append(f"\n## {board.name}\n\n{board.title}\n\n```\n{lines}\n```\n")
    return "".join(parts)


def fields_page() -> str:
    """What `--json` prints and functions return."""
    return fields.page(NOTE)


def _help(command: click.Command, name: str, parent: click.Context) -> str:
    context = click.Context(command, parent=parent, info_name=name, terminal_width=100)
    return f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"


def _board_row(board: Board) -> str:
    backends = ", ".join(entry.name for entry in board.backends)
    int8 = ", ".join(entry.name for entry in board.backends if entry.int8) or "none"
    if int8 == backends:
        int8 = "all"
    cores = "detected" if board.name == LOCAL else str(board.cores)
    status = f"verified {board.verified.date}" if board.verified else "unverified"
    name = f"`{board.name}`" if board.name == LOCAL else f"[`{board.name}`](#{board.name})"
    cells = (name, board.title, cores, backends, int8, status)
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write the pages."""
    (HERE / "commands.md").write_text(commands_page())
    (HERE / "boards.md").write_text(boards_page())
    (HERE / "fields.md").write_text(fields_page())


if __name__ == "__main__":
    main()
