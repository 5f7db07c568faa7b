"""Faults: the relay as a process beside three real brokers, under a load of known ids, and what is done to them."""
