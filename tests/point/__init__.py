"""Tests of the client of Syskit Point's API, against the simulated one."""
