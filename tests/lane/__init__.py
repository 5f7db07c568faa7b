"""Lanes: one contract for the fake and for real Kafka, and what only a fake can be made to do."""
