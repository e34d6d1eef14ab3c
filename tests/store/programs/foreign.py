"""Opens a file with DuckDB and without our lock, as DuckDB's own shell would."""

import sys

import duckdb

connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
connection.close()
