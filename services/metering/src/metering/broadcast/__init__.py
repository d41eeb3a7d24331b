"""Broadcast: a role of metering that sends organisations' usage to their own systems. A process and a store of its own."""
