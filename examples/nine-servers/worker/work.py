"""A worker without a port: a line of its output tells that it is ready."""

import time

print("waiting for jobs", flush=True)
while True:
    time.sleep(60)
