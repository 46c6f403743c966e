"""A study's runs: which a command line asks for, whose they are, and how they are launched."""
