"""Tests of what strangers may send: black boxes, over real sockets, with good traffic beside."""
