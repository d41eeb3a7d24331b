"""A routing simulator: the router's own decisions over a made-up fleet, in virtual time, beside other policies."""
