"""One small file a protocol."""
