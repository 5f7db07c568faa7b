"""The registration at Syskit Point."""
