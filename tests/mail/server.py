"""A mail server that refuses by script: the part of an address before the sign says what it gets.

Usage: server.py FOLDER [--tls CERT KEY | --starttls CERT KEY] [--user NAME PASSWORD]. Prints its port, then takes mails into
FOLDER, each as a file with the envelope in its first line. `rCODE-STATUS` is refused when it is told, `dCODE-STATUS`
once the content came, `grey` at its first try, `drop` loses the connection before the last word, `silent` gets none.
The file `sender` in FOLDER, if there is one, holds the reply to every sender.
"""

import asyncio
import json
import os
import re
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

folder = sys.argv[1]
options = sys.argv[2:]
taken = 0
seen = set()


def scripted(kind, address):
    found = re.match(rf"{kind}(\d+)(?:-([\d.]+))?@", address)
    if found:
        return " ".join(part for part in found.groups() if part) + f" <{address}> is refused"
    return None


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, mail_options):
        told = os.path.join(folder, "sender")
        if os.path.exists(told):
            with open(told) as file:
                return file.read().strip()
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        reply = scripted("r", address)
        if address.startswith("grey@") and address not in seen:
            seen.add(address)
            reply = "451 4.7.1 greylisted"
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        global taken
        address = envelope.rcpt_tos[0]
        reply = scripted("d", address)
        if reply:
            return reply
        taken += 1
        told = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": server.transport.get_extra_info("sslcontext") is not None}
        told["user"] = session.auth_data.decode() if session.auth_data else None
        name = os.path.join(folder, f"mail-{taken:04}")
        with open(name + ".part", "wb") as file:
            file.write(json.dumps(told).encode() + b"\n" + envelope.original_content)
        os.rename(name + ".part", name)
        if address.startswith("drop@"):
            server.transport.abort()
        if address.startswith("silent@"):
            await asyncio.sleep(3600)
        return "250 2.0.0 taken"


def option(name, count):
    if name in options:
        at = options.index(name) + 1
        return options[at : at + count]
    return None


def context(files):
    if files is None:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*files)
    return made


known = option("--user", 2)


def authenticate(server, session, envelope, mechanism, data):
    given = (data.login.decode(), data.password.decode())
    return AuthResult(success=list(given) == known, auth_data=data.login, handled=False)


async def main():
    starttls = context(option("--starttls", 2))
    implicit = context(option("--tls", 2))

    def make():
        return SMTP(
            Handler(),
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=authenticate if known else None,
            auth_required=known is not None,
            auth_require_tls=starttls is not None,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=implicit)
    print(server.sockets[0].getsockname()[1], flush=True)
    # whoever started it holds the other end
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
