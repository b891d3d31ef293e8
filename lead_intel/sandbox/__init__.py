"""The stand-ins: one program that speaks the wire formats of every outside service, with faults on demand.

It is honest about itself (a header on every answer) and nothing in the product may import it or ask whether it
is there; only the command line and the tests start it. Its own memory of what it received is in its home.
"""
