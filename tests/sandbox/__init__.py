"""Tests of what lets people try the relay."""
