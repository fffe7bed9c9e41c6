"""Lets CloudWatch Logs feed a Kinesis stream.

Reads one JSON object from standard input: endpoint, stream_arn, and events, each with group, stream,
timestamp and message. Subscribes each log group to the stream, then puts the events, one call for
each log stream.
"""

import json
import sys
from itertools import groupby

import boto3

order = json.load(sys.stdin)
logs = boto3.client(
    "logs",
    endpoint_url=order["endpoint"],
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)


def place(event):
    return event["group"], event["stream"]


def ensure(create, **names):
    try:
        create(**names)
    except logs.exceptions.ResourceAlreadyExistsException:
        pass


for (group, stream), events in groupby(sorted(order["events"], key=place), key=place):
    ensure(logs.create_log_group, logGroupName=group)
    ensure(logs.create_log_stream, logGroupName=group, logStreamName=stream)
    logs.put_subscription_filter(
        logGroupName=group,
        filterName="to-kinesis",
        filterPattern="",
        destinationArn=order["stream_arn"],
        roleArn="arn:aws:iam::123456789012:role/logs-to-kinesis",
    )
    logs.put_log_events(
        logGroupName=group,
        logStreamName=stream,
        logEvents=[
            {"timestamp": event["timestamp"], "message": event["message"]} for event in events
        ],
    )
