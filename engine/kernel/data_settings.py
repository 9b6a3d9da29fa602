"""Settings of what is kept: how long, and where DICOM objects are.

In: `keep:` and `objects:` of config.yaml. Out: frozen settings.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["KeepSettings", "ObjectSettings"]


class KeepSettings(BaseModel):
    """How long things stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: str = Field(
        default="forever",
        description="Raw message bodies: forever, or a time such as `7 years`.",
        examples=["7 years"],
    )
    imaging: str = Field(
        default="forever",
        description="DICOM objects, from when they came: forever, or a time such as `10 years`. What is said "
        "of a study in the core store stays.",
        examples=["10 years"],
    )
    deliveries: str = Field(
        default="90 days",
        description="What was sent to destinations and what they answered, from when a delivery ended: "
        "forever, or a time. That it was sent, to whom and when, stays.",
        examples=["1 year"],
    )
    at: str = Field(
        default="02:00",
        description="Time of day, on this machine's clock, at which the running hub deletes what is past its "
        "time; `never` leaves that to the command `hub keep`.",
        examples=["03:30"],
        pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|never)$",
    )
    audit: str = Field(
        default="6 years", description="Who saw and did what; never less than 6 years.", examples=["10 years"]
    )


class ObjectSettings(BaseModel):
    """Where DICOM objects are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = Field(
        default=Path("objects"),
        description="A folder; relative ones start at the data folder.",
        examples=["/srv/objects"],
    )
    s3: str = Field(
        default="",
        description="Address of a bucket of an S3-compatible store, instead of the folder.",
        examples=["https://minio.mercy.example/hub-objects"],
        pattern=r"^(https?://[^\s?#]+)?$",
    )
    region: str = Field(default="us-east-1", description="Its region.", examples=["eu-central-1"])
    access_key: str = Field(
        default="", description="Its access key.", examples=["${secret:S3_ACCESS}"], repr=False
    )
    secret_key: str = Field(
        default="", description="Its secret key.", examples=["${secret:S3_SECRET}"], repr=False
    )
