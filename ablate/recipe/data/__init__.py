"""Corpora: each turns a folder or a recipe into frame tables. No module here needs torch to be imported."""
