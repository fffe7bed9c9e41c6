"""Prints a Parquet file as pyarrow reads it: its columns with their types, then a JSON line a row."""

import json
import sys

import pyarrow.parquet

table = pyarrow.parquet.read_table(sys.argv[1])
for field in table.schema:
    print(f"{field.name}: {field.type}{'' if field.nullable else ' not null'}")
for row in table.to_pylist():
    print(json.dumps(row, default=str, sort_keys=True))
