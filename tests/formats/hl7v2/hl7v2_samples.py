"""Synthetic messages for the tests of the HL7 v2 room; invented people, no real data."""

from __future__ import annotations

ORU = (
    "MSH|^~\\&|LAB|NORTH LAB|HUB|GENERAL|20260301101500+0100||ORU^R01^ORU_R01|L-1001|P|2.5.1|||AL|NE\r"
    "PID|1||4711^^^GENERAL&1.2.3.4&ISO^MR~900-12^^^PAYER^SS||EXAMPLE^ANNA^B^^DR^^L||19610704|F|"
    "||1 ELM ST^^TOWN^^12345\r"
    "NTE|1||Patient fasting\r"
    "PV1|1|O|CLINIC^2^A\r"
    "ORC|RE|P-77|F-88||CM\r"
    "OBR|1|P-77|F-88|24323-8^Metabolic panel^LN|||20260301083000\r"
    "NTE|1||Drawn from left arm\r"
    "OBX|1|NM|2345-7^Glucose^LN||98|mg/dL^^UCUM|70-99|N|||F\r"
    "OBX|2|SN|2160-0^Creatinine^LN||<^0.4|mg/dL|0.6-1.2|L|||F\r"
    "NTE|1||Below the range \\T\\ repeated\r"
    "OBX|3|TX|18748-4^Report^LN||Line one\\.br\\line two \\F\\ end||||||F\r"
    "SPM|1|S-1&LAB||SER^Serum^HL70487\r"
)
ADT = (
    "MSH|^~\\&|REG|GENERAL|HUB|GENERAL|202603010800||ADT^A01^ADT_A01|A-1|P|2.5.1\r"
    "EVN|A01|202603010800\r"
    'PID|1||4712^^^GENERAL^MR||MUSTER^BERT||19500101|M|||""||^PRN^PH^^^555^1234\r'
    "NK1|1|MUSTER^CLARA|SPO^Spouse^HL70063\r"
    "PV1|1|I|W1^101^1^GENERAL|E|||123^HOUSE^GREG^^^DR\r"
    "AL1|1|DA|7980^Penicillin^RXNORM|SV|Hives~Wheeze\r"
    "IN1|1|PPO|99^^^PAYER|BIG PAYER\r"
    "ZPI|1|local^value\r"
)
MERGE = (
    "MSH|^~\\&|REG|GENERAL|HUB|GENERAL|202603010900||ADT^A40^ADT_A39|A-2|P|2.4\r"
    "EVN|A40|202603010900\r"
    "PID|1||4712^^^GENERAL^MR||MUSTER^BERT\r"
    "MRG|9999^^^GENERAL^MR\r"
)
ORM = (
    "MSH|^~\\&|CPOE|GENERAL|LAB|NORTH LAB|20260301||ORM^O01|O-1|T|2.3\r"
    "PID|1||4711^^^GENERAL^MR\r"
    "ORC|NW|P-78\r"
    "OBR|1|P-78||GLU^Glucose^L\r"
)
VXU = (
    "MSH|^~\\&|IZ|CLINIC|IIS|STATE|20260301||VXU^V04^VXU_V04|V-1|P|2.5.1\r"
    "PID|1||55^^^CLINIC^MR||KIND^DORA||20200101|F\r"
    "ORC|RE||65\r"
    "RXA|0|1|20260301||08^HepB^CVX|1|mL^^UCUM\r"
    "OBX|1|CE|64994-7^Eligibility^LN||V01^Not eligible^HL70064\r"
)
SAMPLES = {"oru": ORU, "adt": ADT, "merge": MERGE, "orm": ORM, "vxu": VXU}

DELIMITERS = {
    "standard": "|^~\\&",
    "v2.7 truncation": "|^~\\&#",
    "hash field": "#^~\\&",
    "swapped": "|&~\\^",
    "at and star": "|@*\\&",
    "other escape": "|^~!&",
    "all different": "$:;?%",
}


def with_delimiters(text: str, chars: str) -> str:
    """Write a sample with other delimiters; characters the text used plainly must not be among them."""
    table = dict(zip("|^~\\&", chars, strict=False))
    head, rest = text[:8], text[8:]
    assert head == "MSH|^~\\&"
    return "MSH" + chars + "".join(table.get(char, char) for char in rest)


def message(kind: str, segments: str, version: str = "2.5.1") -> bytes:
    """Build a message of segments that hold only their number: enough to arrange."""
    lines = [f"MSH|^~\\&|A|B|C|D|20260101||{kind}|1|P|{version}", *(f"{name}|1" for name in segments.split())]
    return ("\r".join(lines) + "\r").encode()
