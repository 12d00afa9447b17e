"""A first plugin: a tool and a guard."""
