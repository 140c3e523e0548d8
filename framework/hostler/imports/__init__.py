"""How modules are imported: late, where that spares a program what it does not use."""
