"""Promises that take long to prove, measured with the real command on this machine."""
