"""The kernel: the two doors, the event stream and the run. It knows records and contracts, and no plugin host."""
