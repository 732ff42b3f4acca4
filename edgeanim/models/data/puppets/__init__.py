"""Puppets drawn by seed: their parts and looks, what they do, and the scenes that they are in."""
