"""Uses an unchanged Feast client on a Lockstep server: pushes, reads, and compares every answer.

Usage: check.py SERVER FOLDER. The folder gets Feast's registry and files.
"""

import logging
import pathlib
import sys
import time
from datetime import datetime, timedelta, timezone

import pandas as pd
import requests
from feast import FeatureStore
from feast.data_source import PushMode

import repo

logging.disable(logging.CRITICAL)  # the client logs what it raises
server, folder = sys.argv[1], pathlib.Path(sys.argv[2])
now = datetime.now(timezone.utc).replace(microsecond=123456)
since = datetime(2001, 6, 25, 12, tzinfo=timezone.utc)
checks = 0


def same(what, got, want):
    global checks
    checks += 1
    if got != want:
        sys.exit(f"{what}\n got {got}\nwant {want}")


def refused(what, call, *words):
    try:
        got = call()
    except Exception as e:
        for word in words:
            same(f"{what}: {word!r} in the error {e}", word in str(e), True)
        return
    sys.exit(f"{what}: not refused, got {got}")


def eventually(what, call, want):
    deadline = time.monotonic() + 20
    while (got := call()) != want and time.monotonic() < deadline:
        time.sleep(0.02)
    same(what, got, want)


def open_store():
    text = (pathlib.Path(__file__).parent / "feature_store.yaml").read_text()
    (folder / "feature_store.yaml").write_text(text.replace("SERVER", server).replace("REGISTRY", f"{folder}/registry.db"))
    store = FeatureStore(repo_path=str(folder))
    store.apply(repo.objects(folder))
    return store


def drivers(**columns):
    n = len(columns["driver_id"])
    rest = dict(city=["Ulm"] * n, active=[True] * n, since=[since] * n, tags=[["a", "b"]] * n, embedding=[[1.0, 2.5, -3.0]] * n, created=[now] * n)
    return pd.DataFrame(rest | columns)


def statuses(response):
    names = list(response.proto.metadata.feature_names.val)
    return {n: list(r.statuses) for n, r in zip(names, response.proto.results)}


PRESENT, NULL, NOT_FOUND, OUTSIDE_MAX_AGE = 1, 2, 3, 4
store = open_store()


def read(features, rows, **options):
    return store.get_online_features(features=features, entity_rows=rows, **options)


# Push, through the client and the view it belongs to.
store.push("driver_events", drivers(driver_id=[1001, 1002], conv_rate=[0.25, 5.0], trips=[7, 2**53 + 1], event_timestamp=[now, now - timedelta(days=8)]))
eventually(
    "a pushed row",
    lambda: read(["driver_stats:conv_rate", "driver_stats:trips"], [{"driver_id": 1001}, {"driver_id": 1002}, {"driver_id": 404}]).to_dict(),
    {"driver_id": [1001, 1002, 404], "conv_rate": [0.25, None, None], "trips": [7, 2**53 + 1, None]},
)
same(
    "statuses",
    statuses(read(["driver_stats:conv_rate", "driver_stats:trips"], [{"driver_id": 1001}, {"driver_id": 1002}, {"driver_id": 404}])),
    {"driver_id": [PRESENT] * 3, "conv_rate": [PRESENT, OUTSIDE_MAX_AGE, NOT_FOUND], "trips": [PRESENT, PRESENT, NOT_FOUND]},
)
every = ["city", "active", "since", "tags", "embedding", "conv_rate"]
same(
    "every type",
    read([f"driver_stats:{name}" for name in every], [{"driver_id": "1001"}]).to_dict(),
    {"driver_id": [1001], "city": ["Ulm"], "active": [True], "since": [int(since.timestamp())], "tags": [["a", "b"]], "embedding": [[1.0, 2.5, -3.0]], "conv_rate": [0.25]},
)
got = read(["driver_stats:embedding"], [{"driver_id": 1001}]).to_df()
same("a data frame", list(got["embedding"][0]), [1.0, 2.5, -3.0])

# An older row that arrives later, and one of the same time that was created later.
store.push("driver_events", drivers(driver_id=[1001], conv_rate=[0.1], trips=[1], event_timestamp=[now - timedelta(hours=1)]))
store.push("driver_events", drivers(driver_id=[1001], conv_rate=[0.5], trips=[None], city=["Bonn"], event_timestamp=[now], created=[now + timedelta(seconds=1)]))
store.push("driver_events", drivers(driver_id=[1001], conv_rate=[0.75], trips=[9], event_timestamp=[now]))
store.push("driver_events", drivers(driver_id=[9999], conv_rate=[1.0], trips=[1], event_timestamp=[now]))
eventually("all is applied", lambda: read(["driver_stats:trips"], [{"driver_id": 9999}]).to_dict()["trips"], [1])
response = read(["driver_stats:conv_rate", "driver_stats:trips", "driver_stats:city"], [{"driver_id": 1001}])
same("the newest row, by time and then by creation", response.to_dict(), {"driver_id": [1001], "conv_rate": [0.5], "trips": [None], "city": ["Bonn"]})
same("the status of a null", statuses(response)["trips"], [NULL])

# A service with a view in two roles.
service = store.get_feature_service("driver_model")
rows = [{"driver_id": 1001, "rival_id": 9999}, {"driver_id": 404, "rival_id": 1001}]
same(
    "a service",
    read(service, rows, full_feature_names=True).to_dict(),
    {"driver_id": [1001, 404], "rival_id": [9999, 1001], "driver_stats__conv_rate": [0.5, None], "driver_stats__trips": [None, None], "rival__conv_rate": [1.0, 0.5]},
)
refused("names that collide", lambda: read(service, rows), "conv_rate", "full_feature_names")

# A composite key, whose parts have other names in the source.
store.push("trip_events", pd.DataFrame({"driver_id": [1, 1, 2], "zone": ["a", "b", "a"], "last_fare": [10.0, 11.5, 12.25], "event_timestamp": [now] * 3}))
store.write_to_online_store("driver_stats", drivers(driver_id=[77], conv_rate=[0.5], trips=[3], event_timestamp=[now]))
keys = [{"driver_id": d, "zone": z} for d, z in [(1, "a"), (1, "b"), (2, "a"), (2, "b")]]
eventually(
    "rows with a composite key",
    lambda: read(["trip_stats:last_fare"], keys).to_dict(),
    {"driver_id": [1, 1, 2, 2], "zone": ["a", "b", "a", "b"], "last_fare": [10.0, 11.5, 12.25, -1.5]},
)
eventually("a row written to the view", lambda: read(["driver_stats:trips"], [{"driver_id": 77}]).to_dict()["trips"], [3])
same("a key that the features do not need", read(["driver_stats:trips"], [{"driver_id": 77, "zone": "a"}]).to_dict(), {"driver_id": [77], "zone": ["a"], "trips": [3]})

# What the client says of errors.
refused("materialize, which Lockstep does by itself", lambda: store.materialize(now - timedelta(days=1), now), "404")
refused("an unknown view", lambda: read(["nothing:x"], [{"driver_id": 1}]), "404", "driver_stats")
refused("an unknown feature", lambda: read(["driver_stats:x"], [{"driver_id": 1}]), "404", "conv_rate")
refused("a missing key", lambda: read(["trip_stats:last_fare"], [{"driver_id": 1}]), "400", "zone")
refused("a key of another type", lambda: read(["driver_stats:trips"], [{"driver_id": "x"}]), "400", "int64")
refused("a value of another type", lambda: store.write_to_online_store("driver_stats", drivers(driver_id=[1], conv_rate=[0.5], trips=[1], embedding=[[1.0]], event_timestamp=[now])), "400", "embedding", "3 elements")
refused("a row of the future", lambda: store.push("driver_events", drivers(driver_id=[1], conv_rate=[0.5], trips=[1], event_timestamp=[now + timedelta(days=1)])), "400", "event_timestamp")

# The routes that other programs call.
frame = {"driver_id": [5], "conv_rate": [0.5], "event_timestamp": [str(now)]}
answer = requests.post(f"{server}/push", json={"push_source_name": "driver_events", "df": frame, "to": "online"})
same("a push to one store", (answer.status_code, "online_and_offline" in answer.text), (400, True))
answer = requests.post(f"{server}/push", json={"push_source_name": "driver_events", "df": frame, "to": PushMode.ONLINE_AND_OFFLINE.name.lower(), "allow_registry_cache": True})
same("a push", answer.status_code, 200)
eventually("what it pushed", lambda: read(["driver_stats:conv_rate"], [{"driver_id": 5}]).to_dict()["conv_rate"], [0.5])

print(f"Feast's client agrees with Lockstep in all {checks} checks")
