"""One training: what a run is, its parts made in order, its loop."""
