"""Backups of a whole hub: made beside it while it runs, proven, and put back."""
