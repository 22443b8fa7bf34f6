"""What clients, Redis and servers may send that nobody would: the endpoint and the parsers bear it.

``make fuzz`` tries as much as a time allows; with the other tests each of these runs for a moment.
"""
