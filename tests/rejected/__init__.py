"""Tests of relay/server: black boxes."""
