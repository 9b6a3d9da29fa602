"""What each sender really sends, read off the journal: the living contract, its drift, its coverage."""
