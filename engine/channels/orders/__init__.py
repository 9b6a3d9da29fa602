"""Orders out: what their fillers answer, and how far each order is."""
