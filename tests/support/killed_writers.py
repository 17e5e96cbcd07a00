"""Writers of events that are killed: a program for `test_study_store.py`, separate so that it can fork.

`python killed_writers.py DATABASE ROUNDS TOKEN...` prints JSON: the numbers that were confirmed, by token.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections.abc import Sequence

from pixq.study.store.records import Event, SessionChanges
from pixq.study.store.store import open_store


def write(database: str, tokens: Sequence[str], out: int) -> None:
    """Append to all sessions at once and report every confirmed batch, until killed."""
    store = open_store(database)

    def one(token: str) -> None:
        number = store.append(token, [], 0.0, lambda *given: SessionChanges("trial")).next
        while True:
            batch = [Event(number + i, "trial", 0.5, "", json.dumps({"n": number + i})) for i in range(3)]
            number = store.append(token, batch, 0.0, lambda *given: SessionChanges("trial")).next
            os.write(out, f"{token} {number}\n".encode())

    threads = [threading.Thread(target=one, args=(token,)) for token in tokens]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def main(database: str, rounds: str, *tokens: str) -> None:
    draws, confirmed = random.Random(7), dict.fromkeys(tokens, 0)
    for _ in range(int(rounds)):
        end, out = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(end)
            try:
                write(database, tokens, out)
            finally:
                os._exit(1)
        os.close(out)
        with os.fdopen(end) as lines:
            wanted = draws.randrange(1, 40)
            for count, line in enumerate(lines, 1):
                token, number = line.split()
                assert int(number) > confirmed[token], "confirmed twice"
                confirmed[token] = int(number)
                if count == wanted:
                    os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "it ended by itself"
    print(json.dumps(confirmed))


if __name__ == "__main__":
    main(*sys.argv[1:])
