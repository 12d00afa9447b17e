"""Remembers what people approved, and answers for them."""
