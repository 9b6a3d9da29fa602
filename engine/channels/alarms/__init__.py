"""The watch of a hub: what is judged, what is remembered of it, and who is told."""
