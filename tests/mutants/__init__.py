"""Mutation testing: small changes to the program that a fast test must notice."""
