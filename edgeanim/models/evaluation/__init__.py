"""How well an animator animates: what is measured on a frame, over sets, and how it is shown."""
