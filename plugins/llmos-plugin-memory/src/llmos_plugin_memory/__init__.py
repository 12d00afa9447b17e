"""Traces as Markdown files, with a log of outcomes."""
