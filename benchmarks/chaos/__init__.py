"""Chaos: every ten seconds something breaks, at random, while messages are published.

    python -m benchmarks.chaos [embedded] [external] [redis] [kafka] [--minutes 5] [--seed 7]

Two workers of one service on a Postgres, its own (`embedded`) or one beside it (`external`, and
those with a broker as the bus). Publishers over HTTP, graphql-transport-ws and the legacy socket
send each message until it is acknowledged, under an idempotency key; subscribers of every kind come
back whatever happens to them and go on after what they heard last; voters change their one vote.
What can break is in `benchmarks.chaos.faults`. Each fault is printed with its time; the same seed
gives the same faults at the same times.

It ends with the accounting: published, acknowledged, stored, delivered; lost, repeated, out of
order; when counts were right after the last fault; the memory of the workers. It ends with 1 where
a promise of the contract was broken.
"""
