#!/bin/sh
# LocalStack runs this in its container once it answers: the stream, and a log group that feeds it.
set -eu

stream=app-logs
group=/aws/lambda/orders

awslocal kinesis create-stream --stream-name "$stream" --shard-count 2
awslocal kinesis wait stream-exists --stream-name "$stream"

awslocal logs create-log-group --log-group-name "$group"
awslocal logs create-log-stream --log-group-name "$group" --log-stream-name demo

# The role may be any string of the right form: LocalStack does not look at it.
awslocal logs put-subscription-filter \
    --log-group-name "$group" \
    --filter-name everything \
    --filter-pattern '' \
    --destination-arn "arn:aws:kinesis:us-east-1:000000000000:stream/$stream" \
    --role-arn arn:aws:iam::000000000000:role/logs-to-kinesis
