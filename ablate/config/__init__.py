"""Configs: composed by Hydra, and checked before anything is called."""
