"""Tasks solved without the SDK: an agent loop of our own."""
