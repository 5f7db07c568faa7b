"""The keys of the sources."""
