"""Report on duties towards people: what a store does, and checks that it does so.

Checks that would change data run on a recommender in memory with the same code and a made-up user;
the others look at the store.
"""

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from nearline.common.secret_file import SECRET_BYTES
from nearline.engine.recommender import Recommender
from nearline.errors import InvalidInput
from nearline.schema import new_event
from nearline.sealing import KEYS
from nearline.trust.audit import LOG, verify
from nearline.trust.keys import KeyStore

CANARY, OTHER = "canary user 7d1f", "another user 9a3c"
_SECRETS = ("access.key", "access.db", "audit.key", "audit.log", "secret.key")


class ComplianceCheck(Struct, frozen=True, kw_only=True):
    """Result of a check; `passed` is None for what only its operator can decide.

    Attributes
    ----------
    duty, law : str
        What people may expect, and where that is written.
    call : str
        How it is done.
    passed : bool or None
    detail : str
        What was found.
    """

    duty: str
    law: str
    call: str
    passed: bool | None
    detail: str


class ComplianceReport(Struct, frozen=True, kw_only=True):
    """All checks, and whether none failed. It is not legal advice."""

    passed: bool
    checks: tuple[ComplianceCheck, ...]


def compliance(store: Recommender, folder: Path | None, *, now: float) -> ComplianceReport:
    """Run all checks.

    Parameters
    ----------
    folder : Path or None
        Folder with keys and audit log.
    now : float
        Current time in Unix seconds.
    """
    checks = [
        _check("access and portability", "GDPR 15, 20", "GET /v1/users/{user_id}/export", _export),
        _check("erasure", "GDPR 17", "DELETE /v1/users/{user_id}", _erasure),
        _check(
            *("objection to profiling", "GDPR 21; DSA 38; PIPL 24"),
            *("PUT /v1/users/{user_id}/consent, profiling=false", _objection),
        ),
        _check("interest tags", "algorithm rules 17", "/v1/users/{user_id}/tags", _tags),
        _check("minimisation", "GDPR 5", "unknown fields are refused", _minimisation),
        _transparency(store),
        *_of_folder(folder, now),
        _aggregates(store),
        _encryption(folder),
    ]
    failed = any(check.passed is False for check in checks)
    return ComplianceReport(passed=not failed, checks=tuple(checks))


def _check(duty: str, law: str, call: str, run: Callable[[Recommender], str]) -> ComplianceCheck:
    """Run a check on a recommender in memory; it returns a problem, or ""."""
    with Recommender() as scratch:
        scratch.put_item("a", text="red tea", categories=["tea"])
        scratch.put_item("b", text="green tea", categories=["tea"])
        scratch.put_item("c", text="cup", categories=["cup"])
        for user, item in ((CANARY, "a"), (OTHER, "a"), (OTHER, "b"), (OTHER, "c")):
            scratch.observe(user, item, context={"note": user})
        scratch.put_user(CANARY, note=CANARY)
        problem = run(scratch)
    detail = problem or "a made-up user: as it should be"
    return ComplianceCheck(duty=duty, law=law, call=call, passed=not problem, detail=detail)


def _export(scratch: Recommender) -> str:
    with zipfile.ZipFile(io.BytesIO(scratch.export_user(CANARY))) as file:
        texts = {name: file.read(name).decode() for name in file.namelist()}
    if texts["events.json"].count(CANARY) < 2 or CANARY not in texts["attributes.json"]:
        return "the export lacks records of the user"
    return "the export has data of another user" if OTHER in "".join(texts.values()) else ""


def _erasure(scratch: Recommender) -> str:
    erased = scratch.forget(CANARY).result()
    receipt = scratch.erasure_receipt(CANARY, erased)
    listed = [one.user_id for one in scratch.users()]
    if erased != 2 or not receipt.nothing_left or CANARY in listed:
        return "records of the user are left"
    return "" if scratch.read_receipt(receipt.token)["erased"] == 2 else "the receipt is wrong"


def _objection(scratch: Recommender) -> str:
    stranger = _list(scratch, "a stranger")
    once = [line.item_id for line in scratch.recommend(CANARY, profiling=False)]
    scratch.put_consent(CANARY, profiling=False)
    if once != stranger:
        return "a list without profiling depends on the user"
    if _list(scratch, CANARY) != _list(scratch, "a stranger"):
        return "the list after an objection depends on the user"
    return "the choice is not shown" if scratch.consent(CANARY).profiling else ""


def _tags(scratch: Recommender) -> str:
    if [one.tag for one in scratch.tags(CANARY)] != ["tea"]:
        return "the tags are wrong"
    scratch.delete_tag(CANARY, "tea").result()
    return "a deleted tag is listed" if scratch.tags(CANARY) else ""


def _minimisation(_: Recommender) -> str:
    try:
        new_event({"user_id": "u", "item_id": "i", "religion": "x"}, None, now=0.0)
    except InvalidInput:
        return ""
    return "an unknown field was stored"


def _list(scratch: Recommender, user_id: str) -> list[str]:
    return [line.item_id for line in scratch.recommend(user_id)]


def _transparency(store: Recommender) -> ComplianceCheck:
    found = store.transparency()
    total = sum(one.importance for one in found.criteria)
    names = ", ".join(f"{one.name} {one.importance:.0%}" for one in found.criteria)
    return ComplianceCheck(
        duty="main parameters",
        law="DSA 27; PIPL 24; GDPR 15 (CJEU C-203/22)",
        call="GET /v1/transparency",
        passed=abs(total - 1.0) < 1e-6,
        detail=f"model {found.model}: {names}",
    )


def _aggregates(store: Recommender) -> ComplianceCheck:
    budget = store.privacy_budget()
    return ComplianceCheck(
        duty="lists and numbers about all users",
        law="GDPR 5, 25",
        call="least_people, POST /v1/statistics",
        passed=None if store.least_people < 2 else True,
        detail=f"items of fewer than {store.least_people} people are withheld; "
        f"{budget.spent:g} of the privacy budget of {budget.total:g} is spent",
    )


def _encryption(folder: Path | None) -> ComplianceCheck:
    sealed = folder is not None and (folder / KEYS).is_file()
    return ComplianceCheck(
        duty="encryption at rest",
        law="GDPR 32",
        call="nearline seal",
        passed=True if sealed else None,
        detail="the store is sealed" if sealed else "events are stored in clear text",
    )


def _of_folder(folder: Path | None, now: float) -> list[ComplianceCheck]:
    if folder is None or not folder.is_dir():
        return []
    law = "GDPR 32"
    keys = KeyStore(folder).listed(now)
    valid = [key for key in keys if key.valid]
    endless = sum(key.expires is None for key in valid)
    open_files = [
        name
        for name in _SECRETS
        if (folder / name).exists() and stat.S_IMODE((folder / name).stat().st_mode) & 0o077
    ]
    short = (folder / "secret.key").exists() and (
        (folder / "secret.key").stat().st_size != SECRET_BYTES
    )
    checks = [
        ComplianceCheck(
            duty="access control",
            law=law,
            call="nearline keys create",
            passed=None if not keys else bool(valid),
            detail=f"{len(valid)} valid keys of {len(keys)}; {endless} of them without an end",
        ),
        ComplianceCheck(
            duty="secrets are readable by their owner only",
            law=law,
            call="chmod 600",
            passed=not open_files and not short,
            detail=", ".join(open_files) or "all files of keys and secrets",
        ),
    ]
    call, duty = "nearline serve --audit", "who did what to whose data"
    if not (folder / LOG).exists():
        detail = "there is no audit log"
        return [*checks, ComplianceCheck(duty=duty, law=law, call=call, passed=None, detail=detail)]
    found = verify(folder)
    detail = found.problem or f"{found.lines:,} lines are intact"
    intact = found.problem is None
    return [*checks, ComplianceCheck(duty=duty, law=law, call=call, passed=intact, detail=detail)]
