"""The processes of one server: found, measured, terminated."""
