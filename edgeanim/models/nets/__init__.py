"""The three networks of the animator. Everything in this package needs torch."""
