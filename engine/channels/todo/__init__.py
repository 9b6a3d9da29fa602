"""The to-do list: what waits for a person, by cause, and what people do about it."""
