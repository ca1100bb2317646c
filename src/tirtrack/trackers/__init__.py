"""The online side: ``init(frame, box)``, ``update(frame)``."""
