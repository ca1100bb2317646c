"""Networks in plain torch; files, frames and trackers are unknown here."""
