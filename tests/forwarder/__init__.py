"""The forwarder: its window, its cursors, and the lives of its lanes."""
