"""`edgeanim boards`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgeanim.cli.options import example, json_option, offering_boards
from edgeanim.cli.output import print_json, say

if TYPE_CHECKING:
    from edgeanim.targets.board import Board, Peaks

_FEW = 16


class _Boards(click.Group):
    """`boards NAME` is short for `boards show NAME`; `--json` may stand before either."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None:
            args = ["show", *args]
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, ["--json", *rest] if ctx.params.get("as_json") else rest


@click.group("boards", cls=_Boards, invoke_without_command=True)
@json_option
@click.pass_context
@example("edgeanim boards\nedgeanim boards show raspberry-pi-5")
def command(context: click.Context, as_json: bool) -> None:
    """List the boards that edgeanim knows, or show one (`boards NAME` is short for that)."""
    if context.invoked_subcommand is not None:
        return
    from edgeanim.api import boards

    rows = boards()
    if as_json:
        print_json(rows)
        return
    for board in rows:
        say(f"{board.name:<22}{board.title:<40}{_state(board)}")


@command.command("show")
@click.argument("name", metavar="NAME|FILE.toml", shell_complete=offering_boards)
@json_option
@example("edgeanim boards show raspberry-pi-5\nedgeanim boards show mine.toml --json")
def show(name: str, as_json: bool) -> None:
    """Show one board: limits, runtimes, how to install them, sensors, known traps."""
    from edgeanim.api import boards

    (board,) = boards(name)
    if as_json:
        print_json(board)
        return
    say(f"{board.name}: {board.title} ({_state(board)})")
    for line in describe(board):
        say(line)


def describe(board: Board) -> list[str]:
    """The board in lines of text: facts as a table, then what is in sentences."""
    facts = {
        "arch": board.arch,
        "cores": f"{board.cores}, {board.threads} used by default",
        "affinity": ", ".join(map(str, board.affinity)),
        "memory": f"{board.memory_mb} MB",
        "CPU features": _features(board.cpu_features),
        "8-bit weights": "7 bits only: its multiply-add saturates" if board.saturates_u8s8 else "",
        "governor": board.governor or "",
        "latency budget": f"{board.latency_budget_ms:g} ms a frame",
        "CPU peaks": _peaks(board.peaks),
        "GPU": f"{board.gpu.name}, compute {board.gpu.compute_capability}" if board.gpu else "",
        "GPU peaks": _peaks(board.gpu.peaks) if board.gpu else "",
        "GPU precisions": ", ".join(board.gpu.precisions) if board.gpu else "",
        "sensors": ", ".join(board.sensors),
    }
    lines = [_line(key, value) for key, value in facts.items() if value]
    lines += [_line("backend", f"{b.name}: {', '.join(b.precisions)}") for b in board.backends]
    if board.install is not None:
        lines += [_line("system", board.install.os), _line("Python", board.install.python)]
        lines += _list("Wheels", board.install.wheels) + _list("Install", board.install.steps)
    remarks = [f"{b.name}: {b.note}" for b in board.backends if b.note]
    if board.gpu and board.gpu.note:
        remarks.append(f"GPU: {board.gpu.note}")
    return lines + _list("Known traps", (*board.notes, *remarks)) + _list("Sources", board.sources)


def _state(board: Board) -> str:
    return f"verified {board.verified.date}" if board.verified else "unverified"


def _line(key: str, value: str) -> str:
    return f"  {key:<16}{value}"


def _list(title: str, entries: tuple[str, ...]) -> list[str]:
    return [title, *(f"  - {entry}" for entry in entries)] if entries else []


def _features(features: tuple[str, ...]) -> str:
    """All of a board's file; of the hundred that this machine may have, those that matter."""
    from edgeanim.targets.machine import telling_features

    if len(features) <= _FEW:
        return " ".join(features)
    telling = telling_features(features)
    return " ".join([*telling, f"(and {len(features) - len(telling)} others: --json)"])


def _peaks(peaks: Peaks) -> str:
    parts = (
        (peaks.gflops_fp32, "GFLOP/s float32"),
        (peaks.gflops_fp16, "GFLOP/s float16"),
        (peaks.gops_int8, "GOP/s INT8"),
        (peaks.memory_gb_s, "GB/s memory"),
    )
    return ", ".join(f"{value:,.5g} {unit}" for value, unit in parts if value is not None)
