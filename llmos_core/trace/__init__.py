"""Traces: the record, its Markdown form, the slots for paths, and the replay of its steps."""
