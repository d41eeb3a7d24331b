"""Doubles and fixtures for tests of the router."""
