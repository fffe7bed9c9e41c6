"""The Lambda function on a Kinesis trigger that the pipeline takes the place of.

Reads Kinesis events from standard input, one JSON document with base64 data a line, as Lambda hands
them over; processes them again and again for a number of seconds, and prints what one log event costs,
in nanoseconds of CPU, for each kind of handler.
"""
import base64
import gzip
import json
import sys
import time


def lines(record):
    """One line for each log event, with the message as text: what the pipeline writes."""
    envelope = json.loads(gzip.decompress(base64.b64decode(record["kinesis"]["data"])))
    head = {key: value for key, value in envelope.items() if key not in ("messageType", "logEvents")}
    return [json.dumps({**head, **event}) for event in envelope["logEvents"]]


def parsed(record):
    """The same with the message parsed if it is JSON."""
    envelope = json.loads(gzip.decompress(base64.b64decode(record["kinesis"]["data"])))
    head = {key: value for key, value in envelope.items() if key not in ("messageType", "logEvents")}
    made = []
    for event in envelope["logEvents"]:
        try:
            event = {**event, "message": json.loads(event["message"])}
        except ValueError:
            pass
        made.append(json.dumps({**head, **event}))
    return made


def program(record):
    """What the five lines of VRL do."""
    from datetime import datetime, timezone

    envelope = json.loads(gzip.decompress(base64.b64decode(record["kinesis"]["data"])))
    made = []
    for event in envelope["logEvents"]:
        try:
            message = json.loads(event["message"])
        except ValueError:
            message = event["message"]
        if isinstance(message, dict) and message.get("level") == "DEBUG":
            continue
        at = datetime.fromtimestamp(event["timestamp"] / 1000, timezone.utc)
        event = {
            "owner": envelope["owner"],
            "group": envelope["logGroup"],
            "log_stream": envelope["logStream"],
            "id": event["id"],
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "message": message,
        }
        made.append(json.dumps(event))
    return made


def cost(handler, records, events, seconds):
    handler(records[0])
    passes = 0
    start = time.process_time()
    while time.process_time() - start < seconds:
        for record in records:
            handler(record)
        passes += 1
    return (time.process_time() - start) * 1e9 / (events * passes)


records = [json.loads(line) for line in sys.stdin]
events, seconds = int(sys.argv[1]), float(sys.argv[2])
handlers = (lines, parsed, program)
print(json.dumps({handler.__name__: cost(handler, records, events, seconds) for handler in handlers}))
