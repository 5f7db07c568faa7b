"""Tests of relay/envelope: black boxes."""
