"""From a specification to a launch: inputs, variables, command, user, temporary folders."""
