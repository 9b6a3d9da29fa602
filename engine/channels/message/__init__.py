"""Everything about one entry of the journal, and doing something about it: what `hub msg` and the console's
message page know."""
