"""The values that flow through hostler, all frozen."""
