"""Settings of critical results: who is told at once, who when nobody takes one over.

In: `critical:` of config.yaml. Out: frozen settings. What is critical is not here: that is
`mappings/critical.yaml`, which analysts own.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["CriticalSettings"]


class CriticalSettings(BaseModel):
    """Who is told of critical results. Quiet hours and silences of alarms do not hold for them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mail: tuple[str, ...] = Field(
        default=(),
        description="Addresses told of every critical result, by the server of alerts: mail:.",
        examples=[["lab-desk@mercy.example"]],
    )
    webhooks: tuple[str, ...] = Field(
        default=(),
        description="Names of the webhooks of alerts: that are told of every critical result.",
        examples=[["pager"]],
    )
    escalate_mail: tuple[str, ...] = Field(
        default=(),
        description="Addresses told of a critical result that nobody has taken over in time.",
        examples=[["doctor-on-duty@mercy.example"]],
    )
    escalate_webhooks: tuple[str, ...] = Field(
        default=(),
        description="Names of the webhooks told of a critical result that nobody has taken over in time.",
        examples=[["pager"]],
    )
    destinations: tuple[str, ...] = Field(
        default=(),
        description="Names of destinations (`http`, `rabbitmq`, `webhook`) that are told of every critical "
        "result, and again when nobody has taken it over, as events.",
        examples=[["events"]],
    )
    escalate_after: str = Field(
        default="15 minutes",
        description="How long a critical result may wait for somebody to take it over; after that it is told "
        "to the second list, and again after each such time. A rule may say sooner. `never`.",
        examples=["10 minutes"],
    )
    alarm_after: str = Field(
        default="30 minutes",
        description="How long a critical result may wait before an urgent alarm is raised, too; `never`.",
        examples=["1 hour"],
    )
