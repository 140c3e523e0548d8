"""One tree to server specifications: templates, interpolation, plugins, checks."""
