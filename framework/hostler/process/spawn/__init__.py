"""Starting a child and watching its exit."""
