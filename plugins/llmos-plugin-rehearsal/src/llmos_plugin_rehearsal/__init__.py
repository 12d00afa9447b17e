"""A scripted model that plays lessons through the real SDK and CLI: no key, no network."""
