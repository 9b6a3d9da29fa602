"""The `hub` command. Each verb's work is in a file of this folder and imported when the verb is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from engine import __version__
from engine.cli.backupcommands import backup_app, restore
from engine.cli.changecommands import deploy_app, draft_app, impact
from engine.cli.commands import audit_app, key_app, msg_app
from engine.cli.criticalcommands import critical_app
from engine.cli.deliveries import deliveries_app
from engine.cli.dicomcommands import dicom_app
from engine.cli.mapcommands import map_app
from engine.cli.orders import orders
from engine.cli.peoplecommands import user_app
from engine.cli.project import project_root
from engine.cli.subscriptioncommands import subscription_app
from engine.cli.terms import terms_app
from engine.kernel.errors import HubError

app = typer.Typer(
    name="hub",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="HL7 v2 / FHIR integration engine and interface hub.",
)


@app.command()
def convert(
    paths: Annotated[list[Path], typer.Argument(help="files or folders")],
    out: Annotated[Path, typer.Option(help="folder for the bundles and reports")],
    site: Annotated[str, typer.Option(help="use this site's maps whatever MSH-3/4 say")] = "",
    channel: Annotated[str, typer.Option(help="read HL7 v2 as this channel does: its map and rules")] = "",
) -> None:
    """Convert files to FHIR: DIR/<stem>.json and DIR/<stem>.report.json a message."""
    from engine.cli.convert import convert_with_bar
    from engine.kernel.config import load_config

    root = project_root()
    raise typer.Exit(convert_with_bar(paths, out, root, load_config(root).identity_base, site, channel))


@app.command()
def parse(
    paths: Annotated[list[Path], typer.Argument(help="files or folders")],
    emit: Annotated[Path | None, typer.Option(help="folder to write the messages back to")] = None,
) -> None:
    """Print the parsed tree of every message as JSON, with addresses, names and offsets."""
    from engine.cli.parse import parse_paths

    raise typer.Exit(parse_paths(paths, emit))


@app.command()
def answer(
    file: Annotated[Path, typer.Argument(help="an X12 file")],
    claims: Annotated[bool, typer.Option("--claims", help="also the 277CA of an 837")] = False,
    lenient: Annotated[bool, typer.Option("--lenient", help="reject for the envelope only")] = False,
    control: Annotated[int, typer.Option(help="control number of the first answer")] = 1,
) -> None:
    """Write what the sender of an X12 file is answered: TA1, 999 and the 277CA of its claims."""
    from engine.cli.answer_x12 import answer_file

    raise typer.Exit(answer_file(file, claims, lenient, control))


@app.command()
def render(
    file: Annotated[Path, typer.Argument(help="a CDA document")],
    out: Annotated[Path | None, typer.Option(help="file for the page instead of standard output")] = None,
) -> None:
    """Write a clinical document as one HTML page, safe to open: no script, nothing from elsewhere."""
    from engine.cli.render import render_file

    raise typer.Exit(render_file(file, out))


@app.command()
def write(
    what: Annotated[
        str, typer.Argument(help="837P, 270, 276, 278, ccd, newrx, oml, orm, omi, oru, vxu, adt")
    ],
    out: Annotated[Path, typer.Option(help="file to write")],
    file: Annotated[Path | None, typer.Argument(help="a FHIR Bundle")] = None,
    patient: Annotated[str, typer.Option(help="id of a patient of the core store, instead of a file")] = "",
    of: Annotated[
        list[str] | None, typer.Option("--resource", help="TYPE/ID of the core store and what it refers to")
    ] = None,
    given: Annotated[list[str] | None, typer.Option("--set", help="name=value beside FHIR")] = None,
    report: Annotated[Path | None, typer.Option(help="file for the report")] = None,
) -> None:
    """Write FHIR as X12, C-CDA, a prescription or HL7 v2, and say what was not written."""
    from engine.cli.write import write_file

    raise typer.Exit(write_file(project_root(), what, file, patient, out, given or [], report, of))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="folder of the new project; nothing = this one")] = Path("."),
) -> None:
    """Write a new project: config.yaml, channels, maps, code tables, sample messages."""
    from engine.cli.project import make_project

    print(f"project {folder.resolve()}: {', '.join(make_project(folder))}")
    print("next:  hub serve" if folder.resolve() == Path.cwd() else f"next:  cd {folder} && hub serve")


@app.command()
def serve(
    only: Annotated[
        str, typer.Option(help="start only these: listeners, dicom, workers, console (comma between)")
    ] = "",
    listen: Annotated[
        str, typer.Option(help="address for all listeners and the web side instead of loopback, e.g. 0.0.0.0")
    ] = "",
) -> None:
    """Start the hub: listeners, DICOM nodes, workers and the web side, until Ctrl-C."""
    from engine.cli.serve import serve as run

    raise typer.Exit(run(project_root(own=True), only, listen or None))


@app.command()
def keep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be deleted")] = False,
) -> None:
    """Delete message bodies that keep: in config.yaml no longer covers, and say what that costs."""
    from engine.cli.keep import keep_now

    raise typer.Exit(keep_now(project_root(own=True), dry_run))


app.add_typer(backup_app, name="backup")
app.command("restore")(restore)
app.add_typer(key_app, name="key")
app.add_typer(user_app, name="user")
app.add_typer(msg_app, name="msg")
app.add_typer(audit_app, name="audit")
app.add_typer(critical_app, name="critical")
app.add_typer(subscription_app, name="subscription")
Json = Annotated[bool, typer.Option("--json", help="for programs")]


@app.command()
def feed(
    since: Annotated[str, typer.Option(help="after this cursor: what the last call ended with")] = "0",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="at most so many")] = 50,
    json: Json = False,
) -> None:
    """Print what changed in the core store, in commit order, without patient data."""
    from engine.cli.feed import changes
    from engine.cli.opened import opened
    from engine.cli.printing import print_changes, print_json

    with opened(project_root(own=True)) as hub:
        rows, next_ = changes(hub, since, limit)
    print_json({"changes": rows, "next": next_}) if json else print_changes(rows, next_)


@app.command()
def send(
    file: Annotated[Path, typer.Argument(help="messages, documents, claims or prescriptions")],
    to: Annotated[str, typer.Option(help="mllp://HOST:PORT, or mllps:// for TLS")],
    ca: Annotated[Path | None, typer.Option(help="authority of the receiver's certificate")] = None,
    certificate: Annotated[Path | None, typer.Option(help="our certificate")] = None,
    key: Annotated[Path | None, typer.Option(help="its key")] = None,
) -> None:
    """Send messages, show the answers, and what this project's hub made of them."""
    from engine.cli.sending import send_and_tell

    raise typer.Exit(send_and_tell(file, to, ca, certificate, key, _root_or_none()))


@app.command("try")
def try_(
    file: Annotated[Path, typer.Argument(help="messages, documents, claims or prescriptions")],
    channel: Annotated[str, typer.Option(help="through this channel")],
    trace: Annotated[
        bool, typer.Option("--trace", help="show where every value went, and by which row")
    ] = False,
    json: Json = False,
) -> None:
    """Run messages through a channel's pipeline without storing anything."""
    from engine.cli.printing import print_trial
    from engine.cli.trial import try_file
    from engine.fhir.jsonio import dumps_pretty
    from engine.mapping.lineage import two_way

    trials = try_file(project_root(), file, channel)
    if json:
        both_ways = [{"lineage": two_way(t.report)} if trace else {} for t in trials]
        made = [{**t.as_json(), **ways} for t, ways in zip(trials, both_ways, strict=True)]
        print(dumps_pretty(made).decode(), end="")
    else:
        for trial in trials:
            print_trial(trial, trace)
    raise typer.Exit(1 if any(t.refused or t.parked for t in trials) else 0)


@app.command()
def doctor(json: Json = False) -> None:
    """Print what is in force and where it came from, and what is wrong."""
    from dataclasses import asdict

    from engine.cli.doctor import examine
    from engine.cli.printing import print_findings, print_json

    found = examine(project_root())
    print_json([asdict(f) for f in found]) if json else print_findings(found)
    raise typer.Exit(1 if any(f.state == "wrong" for f in found) else 0)


@app.command()
def demo(
    rate: Annotated[float, typer.Option(min=0.1, max=10_000, help="messages a second")] = 5,
    count: Annotated[int | None, typer.Option(min=1, help="stop after so many")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="stop after so long")] = None,
    to: Annotated[str, typer.Option(help="send all to this address instead of this project's channels")] = "",
) -> None:
    """Stream invented patients' registrations and results to a running hub, until Ctrl-C."""
    from engine.cli.sending import demo_and_tell

    raise typer.Exit(demo_and_tell(project_root(), rate, count, seconds, to))


def _root_or_none() -> Path | None:
    try:
        return project_root()
    except HubError:
        return None


@app.command()
def check(
    as_json: Annotated[bool, typer.Option("--json", help="findings as JSON")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="notes too, e.g. rows that no test touches")
    ] = False,
) -> None:
    """Check config, channels, maps and code tables: file:line, what, why, and what to try."""
    from engine.cli.check import check as run

    raise typer.Exit(run(project_root(), as_json, everything))


@app.command()
def test(
    name: Annotated[str, typer.Argument(help="a channel, a map or a site; nothing = all")] = "",
    accept: Annotated[
        bool, typer.Option("--accept", help="write expected files anew, after a look at the result")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="results as JSON")] = False,
) -> None:
    """Run the tests in map, site and channel files."""
    from engine.cli.maps import run_tests as run

    raise typer.Exit(run(project_root(), name, accept, as_json))


@app.command()
def schema(out: Annotated[Path, typer.Option(help="folder for the schemas")]) -> None:
    """Write JSON Schemas of the maps, for completion in any editor with a YAML language server."""
    from engine.cli.schema import write_schemas

    raise typer.Exit(write_schemas(project_root(), out))


@app.command()
def profile(
    sender: Annotated[str, typer.Argument(help="a name, CHANNEL/NAME or an id; nothing = list all")] = "",
    freeze: Annotated[bool, typer.Option("--freeze", help="sign what is seen as the contract")] = False,
    note: Annotated[str, typer.Option(help="beside the signature")] = "",
    drift: Annotated[bool, typer.Option("--drift", help="what is different since; exit 1 if any")] = False,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="what the maps do with each field, from a sample")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="write it as a conformance profile, NAME.yaml")] = None,
    show_phi: Annotated[
        bool, typer.Option("--show-phi", help="codes too, which may be patient data; that is recorded")
    ] = False,
    json: Json = False,
) -> None:
    """Show what a sender really sends, sign it as the contract, and say how it has drifted since."""
    from engine.cli import senders

    root = project_root(own=True)
    if not sender:
        raise typer.Exit(senders.list_senders(root, json))
    if freeze:
        raise typer.Exit(senders.freeze_sender(root, sender, note))
    if drift:
        raise typer.Exit(senders.drift_since(root, sender, show_phi, json))
    if coverage:
        raise typer.Exit(senders.coverage_of(root, sender, json))
    if out is not None:
        raise typer.Exit(senders.write_profile(root, sender, out))
    raise typer.Exit(senders.show_sender(root, sender, show_phi, json))


@app.command()
def where(
    what: Annotated[str, typer.Argument(help="PID-18, a code, a coding system, a port, an address, a name")],
    json: Json = False,
) -> None:
    """Say what feeds, touches or uses something: channels, sites, maps, tables, senders."""
    from engine.cli.senders import where_is

    raise typer.Exit(where_is(project_root(), what, json))


app.add_typer(map_app, name="map")
app.add_typer(draft_app, name="draft")
app.command("impact")(impact)
app.add_typer(deploy_app, name="deploy")
app.add_typer(terms_app, name="terms")
app.add_typer(dicom_app, name="dicom")
app.add_typer(deliveries_app, name="deliveries")
app.command("orders")(orders)


@app.command()
def version() -> None:
    """Print the version."""
    print(f"hub {__version__}")


def main() -> None:
    """Run the command; an error meant for a person is one line, not a trace."""
    try:
        app()
    except HubError as e:
        print(f"hub: {e}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
