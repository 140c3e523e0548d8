"""The control API of a supervisor: a program on the public names of `hostler`, as any other."""
