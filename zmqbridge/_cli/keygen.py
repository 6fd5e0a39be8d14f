"""`zmqbridge keygen`: a pair of CURVE keys, in two files as `zmq.auth` reads them."""

from __future__ import annotations

import os
from pathlib import Path

import zmq

from zmqbridge._cli.ending import FAILED, OK, Refused, complain

TEXT = """# {what}, made by zmqbridge. {advice}
metadata
curve
    public-key = "{public}"
"""
SECRET = '    secret-key = "{secret}"\n'


def run(name: str, folder: str) -> int:
    """Write NAME.key and NAME.key_secret, and print their names; returns the exit status."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    if not name or name != Path(name).name:
        raise Refused(f"{name!r} is no name of a file; see --folder")
    path = Path(folder, name)
    texts = {
        path.with_name(name + ".key"): TEXT.format(
            what="The public key", advice="Give it to your peers.", public=public
        ),
        path.with_name(name + ".key_secret"): TEXT.format(
            what="Both keys", advice="Keep this file to yourself.", public=public
        )
        + SECRET.format(secret=secret),
    }
    made: list[Path] = []
    file = Path(folder)
    try:
        os.makedirs(folder, exist_ok=True)
        for file, text in texts.items():
            mode = 0o600 if "secret" in file.suffix else 0o644
            # No other user can read the file before its mode is set. No old file is overwritten.
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            made.append(file)
            with open(descriptor, "w", encoding="utf-8") as written:
                written.write(text)
    except OSError as error:
        for each in made:  # half a pair is of no use, and would block the next try
            each.unlink()
        hint = "; take another name, or remove it" if isinstance(error, FileExistsError) else ""
        complain("keygen", f"{file}: {error.strerror}{hint}")
        return FAILED
    for file in made:
        print(file)
    return OK
