"""The guard of LLM OS."""
