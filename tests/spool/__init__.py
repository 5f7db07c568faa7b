"""Tests of the spool, on real files."""
