"""Critical results: which results a person must hear of at once, who was told, who took it over."""
