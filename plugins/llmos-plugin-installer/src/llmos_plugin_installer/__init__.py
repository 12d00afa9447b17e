"""Installing plugins into the running environment, and keeping a record that restores them."""
