"""What `hostler init` and `hostler import` write: servers of a folder, or of the file of another tool."""
