"""Sensors of the machine, one file per source, sampled outside the timed process."""
