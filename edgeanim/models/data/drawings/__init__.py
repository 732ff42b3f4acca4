"""Drawings of characters, made by seed or out of folders, moved by motion capture."""
