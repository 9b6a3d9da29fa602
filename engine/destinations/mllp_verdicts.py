"""What an acknowledgement means for the message it is about: sent, tried again, refused, or a person's work.

In: what an answer says, and what a receiver's settings say otherwise. Out: a verdict, and one line for people
without any word of the other side. Codes of ERR (table 0357) decide before MSA-1, since they say why:
HL7 v2.5.1 ch. 2.9.2 and 2.9.3 give AR and CE for troubles of the receiver that pass, AE and CR for messages
that it will not take another time either.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.formats.hl7v2.answers import Said
from engine.kernel.delivery import Verdict

__all__ = ["BY_CODE", "BY_ERROR", "judge", "shown"]

BY_CODE: dict[str, Verdict] = {
    "AA": "sent",
    "CA": "sent",
    "AE": "refuse",  # 2.9.2.2: the application processed it and found errors
    "AR": "retry",  # 2.9.2.2: not for its content: "likely ... to accept the same message at a later time"
    "CE": "retry",  # 2.9.3.2: cannot be stored, for any other reason than type, version or processing id
    "CR": "refuse",  # 2.9.3.2: MSH-9, MSH-11 or MSH-12 are not acceptable
}
"""MSA-1, where no error says more."""
BY_ERROR: dict[str, Verdict] = {
    **dict.fromkeys(("100", "101", "102", "103", "104"), "refuse"),  # its content
    **dict.fromkeys(("200", "201", "202", "203"), "refuse"),  # MSH-9, MSH-11, MSH-12
    **dict.fromkeys(("204", "205"), "refuse"),  # a key it does not know, or has already
    **dict.fromkeys(("206", "207"), "retry"),  # a record that is locked, its own error
}
"""ERR-3, table 0357."""
_STRENGTH: tuple[Verdict, ...] = ("refuse", "park", "retry", "sent")
_TAKEN = ("AA", "CA")


def judge(said: Said, otherwise: Mapping[str, Verdict]) -> Verdict:
    """Say what an answer means. `otherwise`: MSA-1 or ERR-3 -> verdict, of the receiver's settings."""
    if said.code in _TAKEN:
        return "sent"  # errors beside it are warnings
    table = {**BY_ERROR, **otherwise}
    found = {
        table[one.code] for one in said.complaints if one.severity not in ("W", "I") and one.code in table
    }
    for verdict in _STRENGTH:
        if verdict in found:
            return verdict
    return {**BY_CODE, **otherwise}[said.code]


def shown(said: Said, tries: int = 0) -> str:
    """Say for people what was answered."""
    wrong = [one.plain for one in said.complaints if one.plain and one.severity not in ("W", "I")]
    text = f"answered {said.code}"
    if said.code not in _TAKEN and wrong:
        text += ": " + "; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
    if tries and any(one.code == "205" for one in said.complaints):
        text += ". An earlier try may have arrived: look there before sending it again"
    return text
