"""Proofs that a node's GPU does its work: the encode, not the listing.

Judgements are pure: what a command said in, a Proof out. `run` is the thin part that executes the commands.
"""
