"""Networks in plain torch; they know nothing of files, frames or trackers."""
