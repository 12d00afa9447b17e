"""After a run: what it changed (``diff``), taking it back (``undo``), and how it was (``feedback``)."""
