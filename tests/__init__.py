"""The relay's tests, laid out as the program is."""
