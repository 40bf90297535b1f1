"""A Feast repository as its users have it. Nothing in it knows Lockstep."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, Bool, Float64, Int64, String, UnixTimestamp


def objects(folder):
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    zone = Entity(name="zone", join_keys=["zone"], value_type=ValueType.STRING)
    drivers = FileSource(path=f"{folder}/drivers.parquet", timestamp_field="event_timestamp", created_timestamp_column="created")
    trips = FileSource(path=f"{folder}/trips.parquet", timestamp_field="event_timestamp")
    driver_stats = FeatureView(
        name="driver_stats",
        entities=[driver],
        ttl=timedelta(days=7),
        schema=[
            Field(name="driver_id", dtype=Int64),
            Field(name="conv_rate", dtype=Float64),
            Field(name="trips", dtype=Int64),
            Field(name="city", dtype=String),
            Field(name="active", dtype=Bool),
            Field(name="since", dtype=UnixTimestamp),
            Field(name="tags", dtype=Array(String)),
            Field(name="embedding", dtype=Array(Float64)),
        ],
        source=PushSource(name="driver_events", batch_source=drivers),
    )
    trip_stats = FeatureView(
        name="trip_stats",
        entities=[driver, zone],
        schema=[Field(name="driver_id", dtype=Int64), Field(name="zone", dtype=String), Field(name="last_fare", dtype=Float64)],
        source=PushSource(name="trip_events", batch_source=trips),
    )
    model = FeatureService(
        name="driver_model",
        features=[
            driver_stats[["conv_rate", "trips"]],
            driver_stats[["conv_rate"]].with_name("rival").with_join_key_map({"driver_id": "rival_id"}),
        ],
    )
    return [driver, zone, drivers, trips, driver_stats, trip_stats, model]
