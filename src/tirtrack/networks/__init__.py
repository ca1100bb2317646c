"""Networks in plain torch, independent of files, frames and trackers."""
