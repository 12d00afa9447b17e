"""Replays verified traces for free."""
