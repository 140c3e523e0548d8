"""Reading files that somebody else may have written: bounded, by whom they can be changed, as which user."""
