"""What a machine spent during a run, in a line of words."""

from __future__ import annotations

from edgeanim.benchmarks.machine.resources import resources
from edgeanim.benchmarks.results.result import Report


def state_in_words(report: Report) -> str | None:
    """Power, heat, clock and GPU load over the run, or `None` if no sensor told any of them."""
    spent = resources(report.sensors)
    parts = []
    if spent.power_w is not None:
        parts.append(f"{spent.power_w:.1f} W ({spent.power_of})")
    if spent.hottest_c is not None:
        parts.append(f"at most {spent.hottest_c:.0f} °C ({spent.hottest_zone})")
    if spent.clock_mhz is not None:
        parts.append(f"{spent.clock_mhz:.0f} MHz")
    if spent.gpu_load_percent is not None:
        parts.append(f"GPU busy {spent.gpu_load_percent:.0f} %")
    if parts and spent.power_w is None:
        parts.append("power unknown")
    return ", ".join(parts) or None
