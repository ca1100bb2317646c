"""The HTML page: figures, tables, film strips."""
