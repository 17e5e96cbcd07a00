"""The platforms that participants come from. To add one, add it to `PLATFORMS`: everything else derives from it."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["PLATFORMS", "PlatformKind"]


@dataclass(frozen=True)
class PlatformKind:
    """How a platform sends participants to a study, and takes them back.

    Parameters
    ----------
    name
        `platform.kind` in `study.toml`.
    person
        Parameter of the address that names the person.
    pattern
        What the parameters of the address look like.
    refusal
        The message for readers whose address does not say who they are.
    visit
        Parameter that names the person's visit, if the platform has such: a new visit is a new session.
    sealed
        Whether the study itself makes the names, with a seal that needs its key; see `pixq study links`.
    anonymous
        Whether an address without the parameter is a new person's.
    codes
        Why the study needs completion codes; empty if it can do without.
    url
        Where a participant goes at the end, unless the study says otherwise; `{code}` becomes the code.
    constant
        Other parameters that the platform's addresses have, for rehearsals.
    token, claim, jwks
        For platforms that can sign their addresses: the parameter with the signature, the claim in it that repeats the
        other parameters, and where the platform's keys are.
    unsigned
        The message for readers whose address is not signed, or wrongly.
    """

    name: str
    person: str
    pattern: re.Pattern[str]
    refusal: str
    visit: str | None = None
    sealed: bool = False
    anonymous: bool = False
    codes: str = ""
    url: str = ""
    constant: tuple[tuple[str, str], ...] = ()
    token: str = ""
    claim: str = ""
    jwks: str = ""
    unsigned: str = ""


PLATFORMS = {
    kind.name: kind
    for kind in (
        PlatformKind(
            name="prolific",
            person="PROLIFIC_PID",
            visit="SESSION_ID",
            # Prolific's own are 24 hexadecimal digits today.
            pattern=re.compile(r"[A-Za-z0-9]{8,64}"),
            refusal="open the study from Prolific's page: this address has no PROLIFIC_PID and SESSION_ID of 8 to 64 "
            "letters and digits",
            codes="the completion codes that Prolific gives the study",
            url="https://app.prolific.com/submissions/complete?cc={code}",
            constant=(("STUDY_ID", "rehearsal"),),
            token="prolific_token",
            claim="prolific",
            jwks="https://api.prolific.com/.well-known/study/jwks.json",
            unsigned="open the study from Prolific's page: this address is not signed by Prolific, or was changed",
        ),
        PlatformKind(
            name="link",
            person="token",
            pattern=re.compile(r"[0-9a-f]{48}"),
            refusal="this link is not one of the study's; open it exactly as it was sent to you",
            sealed=True,
        ),
        PlatformKind(
            name="local",
            person="participant",
            pattern=re.compile(r"[A-Za-z0-9._-]{1,64}"),
            refusal="participant: must be 1 to 64 letters, digits, dots, dashes or underscores",
            anonymous=True,
        ),
    )
}
