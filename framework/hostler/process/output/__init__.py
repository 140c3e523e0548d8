"""The output of children: read, cut into lines, written to sinks."""
