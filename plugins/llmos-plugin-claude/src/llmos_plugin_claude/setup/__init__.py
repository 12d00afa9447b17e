"""``llmos init``: the workspace, and how a model is reached."""
