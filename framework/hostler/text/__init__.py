"""Strings from elsewhere: escaped, recognised in the spellings of other programs."""
