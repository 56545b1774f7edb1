"""Let nobody but the reviewer into a session's App: ASGI middleware in front of FiftyOne's server.

gate.py            who may ask at all: Host, Origin, the secret or the password
hosts.py           under which names the server answers; access.py: secrets, cookies, password;
                   pages.py: what a person sees who may not

app_requests.py    what may be asked: routes, media, operators, JSON bodies; queries.py: the fields
fiftyone_limits.py what FiftyOne itself may do in this process: stages, classes, datasets
"""
