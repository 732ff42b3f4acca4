"""Real frames to calibrate and judge on: from files, from a program, and what ships."""
