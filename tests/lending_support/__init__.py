"""Edges that borrow and accounts that lends, together over their sockets, on PostgreSQL."""
