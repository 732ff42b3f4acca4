"""Datasets: training material on disk, made, read and shown."""
