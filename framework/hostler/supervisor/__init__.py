"""Several servers together: registry, order, reload, essential servers."""
