"""Tests of the pure core: bytes in, values out."""
