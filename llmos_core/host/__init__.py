"""The plugin host: discovery from metadata, guarded loading, contributions, settings. It knows no kernel."""
