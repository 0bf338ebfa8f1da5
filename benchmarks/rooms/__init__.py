"""Rooms: one vote a voter through crashes, retractions, policies, approvals.

    python -m benchmarks.rooms [votes] [retraction] [policy] [approval]

`votes`: every voter votes several times in one poll with `onRepeat: REPLACE`, a fifth of all votes
for another choice than before, while the server is killed three times and Postgres once; whoever
gets no answer sends the vote again. `retraction`: from sending the mutation to the last listener of
`channelEvents`. `policy`: publishing where a policy and bans are in force beside publishing where
none are, in turns. `approval`: from the first approval of messages that wait, by two moderators at
once, to the last of the listeners. It ends with 1 where a promise was not kept.
"""
