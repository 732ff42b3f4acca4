"""Real clips: how they are read, what can be known of them, and more people made of few."""
