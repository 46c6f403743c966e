"""Which runs a study needs, whose they are, and what they can tell: pure functions."""
