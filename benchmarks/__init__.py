"""Measurement: what a model costs on a machine, and how far it drifted."""
