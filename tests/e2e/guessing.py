"""Guesses passwords, as fast as it can, in a process of its own.

    python -m tests.e2e.guessing HOST PORT NAME COUNT THREADS SOURCE...

It prints how many answers there were of each status, as JSON.
"""

import base64
import collections
import http.client
import json
import sys
import threading


def main(host: str, port: str, name: str, count: str, threads: str, *sources: str) -> None:
    """Send COUNT requests, each with another password, from the addresses in turn."""
    answers: collections.Counter[int] = collections.Counter()
    lock = threading.Lock()

    def guess(number: int) -> None:
        counted: collections.Counter[int] = collections.Counter()
        connection: http.client.HTTPConnection | None = None
        for index in range(number, int(count), int(threads)):
            source = sources[index // int(threads) % len(sources)]
            if connection is None or len(sources) > 1:
                if connection is not None:
                    connection.close()
                connection = http.client.HTTPConnection(
                    host, int(port), timeout=60, source_address=(source, 0)
                )
            word = base64.b64encode(f"{name}:wrong password {index}".encode()).decode()
            connection.request("GET", "/", headers={"Authorization": f"Basic {word}"})
            answer = connection.getresponse()
            answer.read()
            counted[answer.status] += 1
        if connection is not None:
            connection.close()
        with lock:
            answers.update(counted)

    running = [threading.Thread(target=guess, args=(number,)) for number in range(int(threads))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
