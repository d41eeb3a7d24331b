"""A payment provider for development, which exists in the local stack only: it speaks the part of Stripe's API that accounts uses.

Whoever opens the address of an order pays it with a click, with money that does not exist. What it says to the gateway is signed and
repeated as Stripe's webhooks are.
"""
