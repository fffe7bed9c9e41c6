"""moto on loopback, one call at a time: `moto_server.py PORT`.

`moto_server` answers each call in a thread, and its DynamoDB looks and then writes without a lock
(5.2.5): of twelve workers that create a lease at the same time, now and then two are told that they
did. Such a table says nothing about leases. Behind a lock its conditional writes are atomic, as
DynamoDB's are; everything else is moto's own.
"""

import sys
import threading

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple

moto = DomainDispatcherApplication(create_backend_app)
lock = threading.Lock()


def one_at_a_time(environ, start_response):
    with lock:
        return moto(environ, start_response)


run_simple(
    "127.0.0.1", int(sys.argv[1]), one_at_a_time, threaded=True, request_handler=MotoRequestHandler
)
