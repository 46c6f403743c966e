"""Trained models in use: one by itself, or several together."""
