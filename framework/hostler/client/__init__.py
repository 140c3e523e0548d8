"""Finding and calling the hostler that supervises a configuration in another process. Imports little."""
