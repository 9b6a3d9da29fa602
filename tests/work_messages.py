"""Messages that wait for a person, and what tests of the pages about them share."""

from __future__ import annotations

import re

from console_people import Console

NO_MAP = (
    b"MSH|^~\\&|ACMELIS|ACME|HUB|HOSP|20260501120000||ZZZ^Z99|%d|P|2.5.1\rPID|1||7^^^N^MR||SECRETNAME^JO\r"
)
OBX = "OBX|1|NM|ZZTOP^Strange^L||5.5|mmol/L|||||F"


def oru(n: int, obx: str = OBX) -> bytes:
    return (
        f"MSH|^~\\&|ACMELIS|ACME|HUB|HOSP|20260501120000||ORU^R01^ORU_R01|M{n}|P|2.5.1\r"
        f"PID|1||7{n}^^^NORTH^MR||DOE^JANE||19800101|F\r"
        f"OBR|1|P{n}|F{n}|24323-8^CMP^LN|||20260501110000|||||||||||||||20260501||LAB|F\r{obx}\r"
    ).encode()


def form_of(page: str, path: str) -> dict[str, str]:
    """Return the hidden fields of the form that goes to a path."""
    body = next(f for f in re.findall(r"<form.*?</form>", page, re.S) if f'action="{path}"' in f)
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', body))


def look_again(console: Console) -> None:
    console.hub.releasing().tasks.all(fresh=True)
