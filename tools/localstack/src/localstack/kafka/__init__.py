"""A real Apache Kafka on this machine: one node (KRaft: broker and controller in one process) on 127.0.0.1.

`make kafka-up` starts it and creates Turnpike's topics; `pytest --kafka real` gives each test one of its own.
"""
