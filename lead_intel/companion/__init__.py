"""The desktop companion: lists that appear in a folder go into the bucket, and the channel hears of it.

It needs the bucket and the channel only, no database: it may run on another machine than the house.
"""
