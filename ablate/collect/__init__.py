"""Copied folders, merged into one's own."""
