"""Benchmarks: figures measured in one run on one machine, quoted as medians and ratios."""
