"""Writes the lists of `data/samples/`: fictitious people, the same cells at every run.

    python benchmarks/make_sample_list.py data/samples

Phones are from 555-0100 to 555-0199 of real area codes, the range kept for fiction; e-mails are at example.com, .org
and .net (RFC 2606); addresses of computers are from the documentation ranges (RFC 5737). `leads.xlsx` needs openpyxl,
which the product does not: it is written when openpyxl is there.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

SEED = 20261124
LAST_DAY = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)

HEADER = (
    "phone", "email", "consent_source", "consent_at", "consent_url", "consent_text", "consent_ip", "consent_seller",
    "consent_channel", "consent_purpose", "certificate_type", "certificate_url", "first_name", "last_name", "city",
    "state", "zip", "campaign",
)  # fmt: skip

# area code, city, state, first five-digit code of the city
PLACES = (
    ("201", "Jersey City", "NJ", "07302"), ("202", "Washington", "DC", "20001"), ("203", "New Haven", "CT", "06510"),
    ("205", "Birmingham", "AL", "35203"), ("206", "Seattle", "WA", "98101"), ("207", "Portland", "ME", "04101"),
    ("208", "Boise", "ID", "83702"), ("212", "New York", "NY", "10001"), ("213", "Los Angeles", "CA", "90012"),
    ("214", "Dallas", "TX", "75201"), ("215", "Philadelphia", "PA", "19103"), ("216", "Cleveland", "OH", "44114"),
    ("218", "Duluth", "MN", "55802"), ("225", "Baton Rouge", "LA", "70801"), ("239", "Naples", "FL", "34102"),
    ("248", "Troy", "MI", "48084"), ("253", "Tacoma", "WA", "98402"), ("267", "Philadelphia", "PA", "19104"),
    ("301", "Rockville", "MD", "20850"), ("302", "Wilmington", "DE", "19801"), ("303", "Denver", "CO", "80202"),
    ("304", "Charleston", "WV", "25301"), ("305", "Miami", "FL", "33128"), ("307", "Cheyenne", "WY", "82001"),
    ("312", "Chicago", "IL", "60602"), ("313", "Detroit", "MI", "48226"), ("314", "St. Louis", "MO", "63101"),
    ("316", "Wichita", "KS", "67202"), ("317", "Indianapolis", "IN", "46204"), ("319", "Cedar Rapids", "IA", "52401"),
    ("401", "Providence", "RI", "02903"), ("402", "Omaha", "NE", "68102"), ("404", "Atlanta", "GA", "30303"),
    ("405", "Oklahoma City", "OK", "73102"), ("406", "Billings", "MT", "59101"), ("407", "Orlando", "FL", "32801"),
    ("412", "Pittsburgh", "PA", "15222"), ("414", "Milwaukee", "WI", "53202"), ("415", "San Francisco", "CA", "94103"),
    ("501", "Little Rock", "AR", "72201"), ("502", "Louisville", "KY", "40202"), ("503", "Portland", "OR", "97204"),
    ("504", "New Orleans", "LA", "70112"), ("505", "Albuquerque", "NM", "87102"), ("512", "Austin", "TX", "78701"),
    ("513", "Cincinnati", "OH", "45202"), ("515", "Des Moines", "IA", "50309"), ("518", "Albany", "NY", "12207"),
    ("601", "Jackson", "MS", "39201"), ("602", "Phoenix", "AZ", "85003"), ("603", "Manchester", "NH", "03101"),
    ("605", "Sioux Falls", "SD", "57104"), ("612", "Minneapolis", "MN", "55401"), ("614", "Columbus", "OH", "43215"),
    ("615", "Nashville", "TN", "37203"), ("617", "Boston", "MA", "02108"), ("619", "San Diego", "CA", "92101"),
    ("701", "Fargo", "ND", "58102"), ("702", "Las Vegas", "NV", "89101"), ("703", "Arlington", "VA", "22201"),
    ("704", "Charlotte", "NC", "28202"), ("713", "Houston", "TX", "77002"), ("720", "Denver", "CO", "80203"),
    ("801", "Salt Lake City", "UT", "84101"), ("802", "Burlington", "VT", "05401"), ("803", "Columbia", "SC", "29201"),
    ("808", "Honolulu", "HI", "96813"), ("813", "Tampa", "FL", "33602"), ("816", "Kansas City", "MO", "64106"),
    ("901", "Memphis", "TN", "38103"), ("907", "Anchorage", "AK", "99501"), ("915", "El Paso", "TX", "79901"),
    ("919", "Raleigh", "NC", "27601"), ("949", "Irvine", "CA", "92612"), ("972", "Plano", "TX", "75074"),
)  # fmt: skip
FIRST = (
    "Ada", "Alan", "Amara", "Andre", "Anita", "Bea", "Ben", "Carla", "Carlos", "Chen", "Dana", "David", "Dolores",
    "Elena", "Emil", "Farah", "Femi", "Grace", "Hana", "Hugo", "Ines", "Ivan", "Jada", "Joel", "Karim", "Kate", "Lena",
    "Liam", "Maya", "Miguel", "Nadia", "Noah", "Olga", "Omar", "Priya", "Quinn", "Rosa", "Sam", "Tara", "Uma",
    "Victor", "Wanda", "Ximena", "Yusuf", "Zoe",
)  # fmt: skip
LAST = (
    "Abbott", "Alvarez", "Becker", "Brooks", "Castillo", "Chang", "Dalton", "Diaz", "Ellis", "Evans", "Fischer",
    "Garcia", "Grant", "Haddad", "Hughes", "Ito", "Jensen", "Khan", "Kowalski", "Lopez", "Marsh", "Mbeki", "Nguyen",
    "O'Neil", "Okafor", "Park", "Patel", "Quincy", "Reyes", "Rossi", "Silva", "Stone", "Tanaka", "Turner", "Ueda",
    "Vargas", "Weiss", "Xu", "Young", "Zimmer",
)  # fmt: skip
SHAPES = ("({a}) 555-{n}", "{a}-555-{n}", "{a}.555.{n}", "{a}555{n}", "+1 {a} 555 {n}", "1-{a}-555-{n}", "+1{a}555{n}")
SOURCES = (
    ("web_form", 45), ("landing_page", 20), ("trustedform", 15), ("phone_ivr", 8), ("event_2026_home_expo", 7),
    ("partner:acme-quotes", 5),
)  # fmt: skip
TEXT = (
    "By pressing Get my quote I agree that Example Home Services may call and text me at the number above about home "
    "services, also with automated technology. Consent is not a condition of purchase."
)

Row = dict[str, str]


def person(number: int, rng: random.Random) -> Row:
    """One person with full evidence of consent."""
    area, city, state, postal_code = PLACES[number % len(PLACES)]
    # One line of an area code is used once: 100 lines, and fewer than six people per area code.
    line = f"01{(number // len(PLACES) * 17 + int(area)) % 100:02d}"
    first, last = rng.choice(FIRST), rng.choice(LAST)
    source = rng.choices([name for name, _ in SOURCES], [weight for _, weight in SOURCES])[0]
    at = LAST_DAY - timedelta(minutes=rng.randrange(60 * 24 * 200))
    domain = ("example.com", "example.org", "example.net")[number % 3]
    certified = source == "trustedform"
    digest = hashlib.sha1(f"{SEED}|{number}".encode()).hexdigest()
    return {
        "phone": SHAPES[rng.randrange(len(SHAPES))].format(a=area, n=line),
        "email": f"{first}.{last}{number}@{domain}".lower().replace("'", ""),
        "consent_source": source,
        "consent_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "consent_url": f"https://www.example.com/{'quote' if number % 2 else 'estimate'}",
        "consent_text": TEXT,
        "consent_ip": f"{('192.0.2', '198.51.100', '203.0.113')[number % 3]}.{1 + number % 254}",
        "consent_seller": "Example Home Services",
        "consent_channel": "call|text" if number % 4 else "call|text|email",
        "consent_purpose": "home services offers",
        "certificate_type": "trustedform" if certified else "",
        "certificate_url": f"https://cert.trustedform.com/{digest}" if certified else "",
        "first_name": first,
        "last_name": last,
        "city": city,
        "state": state,
        "zip": postal_code,
        "campaign": ("spring-roof", "solar-23", "windows", "hvac")[number % 4],
    }


def with_flaws(rows: list[Row]) -> list[Row]:
    """The flaws that real lists have, each a handful of times, at fixed places."""

    def change(number: int, **values: str) -> None:
        rows[number].update(values)

    for number, phone in zip(
        (11, 48, 93, 140, 201, 266, 310),
        ("555-0142", "(000) 000-0000", "n/a", "", "2.12555E+09", "########", "415-555-0155 / 415-555-0156"),
        strict=True,
    ):
        change(number, phone=phone)
    for number, email in zip(
        (23, 77, 154, 233), ("ann.example.com", "bob@@example.org", "kim@localhost.test", "lee@example"), strict=True
    ):
        change(number, email=email)
    for number in (31, 102, 187, 251, 322):
        change(number, consent_source="")
    for number, source in zip((64, 219), ("purchased", "facebook_scrape"), strict=True):
        change(number, consent_source=source)
    for number in (8, 57, 125, 240):
        change(number, email="")
    for number in (16, 90, 260):  # evidence that a strict profile misses
        change(number, consent_at="", consent_url="", consent_text="")
    for number in (40, 180):  # too long ago
        change(number, consent_at="2024-02-03T09:30:00Z")
    change(70, phone="416-555-0123", city="Toronto", state="ON", zip="M5H 2N2")
    change(171, phone="604-555-0188", city="Vancouver", state="BC", zip="V6B 1H4")
    change(212, phone="800-555-0199")
    change(288, email="info@example.com")
    change(299, phone="212-555-0123 x44", city="New York", state="NY", zip="10001")
    return rows


def with_repeats(rows: list[Row]) -> list[Row]:
    """Exact repeats, repeats without an e-mail, and couples who share a phone."""
    repeats = [dict(rows[number]) for number in (5, 60, 133)]
    blanks = [{**rows[number], "email": ""} for number in (20, 144)]
    couples = [
        {**rows[number], "first_name": "Robin", "email": f"robin{number}@example.net"} for number in (35, 160, 245)
    ]
    other_shape = {**rows[99], "phone": "+1" + "".join(filter(str.isdigit, rows[99]["phone"]))[-10:]}
    return [*rows, *repeats, *blanks, *couples, other_shape]


def write_csv(path: Path, header: tuple[str, ...], rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_xlsx(path: Path, rows: list[Row]) -> None:
    """As an office would keep it: some phones as numbers, another order of columns, our aliases as headers."""
    import openpyxl

    book = openpyxl.Workbook()
    book.properties.created = book.properties.modified = LAST_DAY.replace(tzinfo=None)
    sheet = book.active
    sheet.title = "Leads"
    header = ("first_name", "last_name", "phone", "email", *HEADER[2:12], "city", "state", "zip")
    sheet.append([{"phone": "Phone Number", "email": "E-mail", "zip": "ZIP"}.get(name, name) for name in header])
    for number, row in enumerate(rows):
        cells: list[str | int] = [row[name] for name in header]
        digits = "".join(filter(str.isdigit, row["phone"]))
        if number % 5 == 0 and len(digits) >= 10:
            cells[header.index("phone")] = int(digits)
        sheet.append(cells)
    notes = book.create_sheet("internal notes")
    notes.sheet_state = "hidden"
    notes.append(["phone", "email", "consent_source"])
    book.save(path)


def main(folder: Path) -> None:
    rng = random.Random(SEED)
    rows = with_repeats(with_flaws([person(number, rng) for number in range(390)]))
    write_csv(folder / "leads.csv", HEADER, rows)
    write_csv(folder / "three_columns.csv", HEADER[:3], rows[:120])
    if importlib.util.find_spec("openpyxl"):
        write_xlsx(folder / "leads.xlsx", rows[200:280])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
