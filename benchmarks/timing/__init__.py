"""Time: fresh processes that play, each in its turn, and the statistics of what they took."""
