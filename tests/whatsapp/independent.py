"""Reads a task from standard input and does it with pywa, an independent client of the interface.

`send`: has pywa send the messages, and tells the bodies of its requests. `read`: has pywa read
posts to a webhook, and tells what it found in them."""

import json
import sys

import httpx
from pywa import WhatsApp
from pywa.types import MessageStatus
from pywa.types.callback import CallbackButton
from pywa.types.message import Message
from pywa.types.system import PhoneNumberChange
from pywa.types.templates import BodyText, HeaderDocument, HeaderImage, HeaderVideo, TemplateLanguage
from pywa.types.user_preferences import UserMarketingPreferences

task = json.load(sys.stdin)
requests = []


def answer(request):
    requests.append({"path": request.url.path, "body": json.loads(request.content)})
    body = {
        "messaging_product": "whatsapp",
        "contacts": [{"input": "1", "wa_id": "1", "user_id": "US.1"}],
        "messages": [{"id": "wamid.1", "message_status": "accepted"}],
    }
    return httpx.Response(200, json=body)


client = WhatsApp(
    phone_id="106540352242922",
    token="a-token",
    session=httpx.Client(transport=httpx.MockTransport(answer)),
    api_version="25.0",
)
HEADERS = {"image": HeaderImage, "video": HeaderVideo, "document": HeaderDocument}

for message in task.get("send", []):
    params = []
    for kind, url in message.get("header", {}).items():
        params.append(HEADERS[kind].params(**{kind: url}))
    if message.get("parameters"):
        params.append(BodyText.params(*message["parameters"]))
    client.send_template(
        to=message["to"],
        name=message["template"],
        language=TemplateLanguage(message["language"]),
        params=params,
        tracker=message["tracker"],
        use_mm_lite_api=message.get("marketing", False),
        message_activity_sharing=False if message.get("marketing") else None,
    )


def person(user):
    return [name for name in (user.wa_id, user.bsuid, user.parent_bsuid) if name]


def read(post):
    value = post["entry"][0]["changes"][0]["value"]
    if "statuses" in value:
        found = MessageStatus.from_update(client, post)
        return {
            "kind": str(found.status),
            "at": int(found.timestamp.timestamp()),
            "tracker": found.tracker,
            "code": found.error.code if found.error else None,
            "person": person(found.from_user),
        }
    if "user_preferences" in value:
        found = UserMarketingPreferences.from_update(client, post)
        return {"kind": str(found.value), "person": person(found.from_user)}
    item = value["messages"][0]
    if item["type"] == "system":
        found = PhoneNumberChange.from_update(client, post)
        return {"kind": "move", "was": found.old_wa_id, "now": [found.new_wa_id, found.new_user_id]}
    found = (CallbackButton if item["type"] == "button" else Message).from_update(client, post)
    reply = found.reply_to_message
    return {
        "kind": str(found.type),
        "id": found.id,
        "answers": reply.id if reply else None,
        "text": found.text if item["type"] == "text" else None,
        "person": person(found.from_user),
    }


json.dump({"requests": requests, "read": [read(post) for post in task.get("read", [])]}, sys.stdout)
