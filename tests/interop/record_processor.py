#!/usr/bin/env python3
"""The record processor of the Java KCL, one process a shard, over the multilang protocol.

Writes the user records that it gets into a file of its own below $RECORDS, one JSON line each, and
checkpoints behind them once they are on disk, unless the file $HOLD is there. Its own file stays
locked while the process lives.
"""

import fcntl
import json
import os
import sys


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def checkpoint(sequence=None, sub_sequence=None):
    say({"action": "checkpoint", "sequenceNumber": sequence, "subSequenceNumber": sub_sequence})
    # One that came too late (the lease is lost) is left to the next owner.
    sys.stdin.readline()


def process(shard, records, out):
    for record in records:
        line = {
            "shard": shard,
            "sequence_number": record["sequenceNumber"],
            "sub_sequence_number": record["subSequenceNumber"],
            "data": record["data"],
        }
        out.write(json.dumps(line) + "\n")
    out.flush()
    os.fsync(out.fileno())
    if records and not os.path.exists(os.environ["HOLD"]):
        checkpoint(records[-1]["sequenceNumber"], records[-1]["subSequenceNumber"])


def main():
    shard = None
    with open(os.path.join(os.environ["RECORDS"], f"{os.getpid()}.jsonl"), "x") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        for line in iter(sys.stdin.readline, ""):
            message = json.loads(line)
            action = message["action"]
            if action == "initialize":
                shard = message["shardId"]
            elif action == "processRecords":
                process(shard, message["records"], out)
            elif action == "shardEnded":
                checkpoint()
            # leaseLost and shutdownRequested need nothing: every record is checkpointed.
            say({"action": "status", "responseFor": action})


main()
