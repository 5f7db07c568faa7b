"""Replays and discards: planned by looking, done one after the other, in bounded memory."""
