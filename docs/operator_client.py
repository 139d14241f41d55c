"""A client of an operator: it goes on duty, shows each call, and reports all of them as successes.

PASSWORD=… python docs/operator_client.py http://localhost:8000 bob
"""

import json
import os
import sys
import urllib.request

from websockets.sync.client import connect

address, username = sys.argv[1:]
log_in = json.dumps({"username": username, "password": os.environ["PASSWORD"]}).encode()
request = urllib.request.Request(f"{address}/login", log_in, {"Content-Type": "application/json"})
with urllib.request.urlopen(request) as answer:
    key = json.load(answer)
headers = {"X-Key": key["key"], "X-Access-Token": key["token"]}
with connect(f"{address.replace('http', 'ws', 1)}/ws/operator/", additional_headers=headers) as socket:
    socket.send(json.dumps({"type": "call_centre_mode", "on": True}))
    socket.send(json.dumps({"type": "status", "status": "Available"}))
    for text in socket:
        message = json.loads(text)
        if message["type"] == "ping":
            socket.send('{"type": "pong"}')
            continue
        print(message, flush=True)
        wanted = [message] if message["type"] == "result_wanted" else []
        if message["type"] == "snapshot":  # after a reconnection: what was awaited meanwhile
            wanted = [call for call in message["calls"] if call["result_wanted"]]
        for call in wanted:
            socket.send(json.dumps({"type": "result", "attempt": call["attempt"], "success": True}))
