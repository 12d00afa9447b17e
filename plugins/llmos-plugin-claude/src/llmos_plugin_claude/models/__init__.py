"""How a model is reached: providers, credentials, the Messages API over HTTP."""
