"""Models for development, tests and benchmarks: real ones out of PyPI packages, and networks written by code."""
