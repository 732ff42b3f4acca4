"""`edgeanim boards`."""

from __future__ import annotations

import click

from edgeanim.cli.common import example, json_option, print_json


@click.command("boards")
@click.argument("name", required=False)
@json_option
@example("edgeanim boards\nedgeanim boards raspberry-pi-5")
def command(name: str | None, as_json: bool) -> None:
    """List the boards that edgeanim knows, or show one: NAME, or the path of a TOML of your own."""
    from edgeanim.api import boards

    rows = boards(name)
    if as_json:
        print_json(rows if name is None else rows[0])
        return
    if name is None:
        for board in rows:
            state = f"verified {board.verified.date}" if board.verified else "unverified"
            click.echo(f"{board.name:<20}{board.title:<40}{state}")
        return
    (board,) = rows
    state = f"verified {board.verified.date}" if board.verified else "unverified"
    click.echo(f"{board.name}: {board.title} ({state})")
    facts = {
        "arch": board.arch,
        "cores": f"{board.cores}, {board.threads} used by default",
        "memory": f"{board.memory_mb} MB",
        "latency budget": f"{board.latency_budget_ms:g} ms a frame",
        "float32 peak": _peak(board.peaks.gflops_fp32, "GFLOP/s"),
        "INT8 peak": _peak(board.peaks.gops_int8, "GOP/s"),
        "memory bandwidth": _peak(board.peaks.memory_gb_s, "GB/s"),
        "backends": ", ".join(b.name + ("" if b.int8 else " (float only)") for b in board.backends),
        "8-bit weights": "7 bits only: its multiply-add saturates" if board.saturates_u8s8 else "",
    }
    for key, value in facts.items():
        if value:
            click.echo(f"  {key:<18}{value}")
    for note in board.notes:
        click.echo(f"  - {note}")


def _peak(value: float | None, unit: str) -> str:
    return f"{value:g} {unit}" if value is not None else ""
