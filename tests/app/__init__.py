"""Tests of relay/app: black boxes."""
