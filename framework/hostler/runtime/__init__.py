"""What the engine calls: endpoints, reports, commands, run records. It knows no Server and no Run."""
