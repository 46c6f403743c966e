"""What all our pages share: one look, and pictures that are the same from the same data."""
