"""Process trees for tests: programs that fork in every way, and what /proc says of them."""

IGNORES_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""

ESCAPES = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        if "close" in sys.argv:
            os.closerange(0, 10)
        time.sleep(60)
    os._exit(0)
os.wait()
if "die" in sys.argv:
    os._exit(3)
time.sleep(60)
"""
