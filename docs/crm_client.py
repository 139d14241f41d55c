"""A CRM: it hands over a subscriber, follows his calls, and reports the result of the one that is connected.

PASSWORD=… python docs/crm_client.py http://localhost:8000 crm 1 +380501234567
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

address, username, campaign, number = sys.argv[1:]
headers = {"Content-Type": "application/json"}


def ask(method, path, body=None):
    """Send a request, and return what is answered; end with the reason if it is refused."""
    sent = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, sent, headers, method=method)) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        sys.exit(f"{method} {path}: {json.load(refused)['detail']}")


key = ask("POST", "/login", {"username": username, "password": os.environ["PASSWORD"]})
headers |= {"X-Key": key["key"], "X-Access-Token": key["token"]}
members = f"/api/v2/dialer/{campaign}/members"
subscriber = {"name": "Anna", "variables": {"debt": 20000}, "communications": [{"number": number}]}
added = ask("POST", f"{members}?autoRun=true", subscriber)
print(added, flush=True)
reported = False
while not reported:
    time.sleep(0.5)
    for call in ask("GET", f"/api/v2/attempts?member={added['id']}&connected=true")["results"]:
        result = {"attempt": call["id"], "success": True, "comment": "Paid"}
        print(ask("PUT", f"{members}/{added['id']}/status", result), flush=True)
        reported = True
