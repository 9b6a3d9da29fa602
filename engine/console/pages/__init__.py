"""The pages of the console, one file each: what is shown, what is done, by which permission."""
