"""Ablation studies of phoneme classifiers: what mattered, was it luck, and who should run what next."""
