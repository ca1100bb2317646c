"""Ways to propose boxes without labels, one file a way."""
