"""Turns a learned run into a trace and verifies it by replay."""
