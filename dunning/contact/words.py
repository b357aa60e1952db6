"""The words of the page that stops messages, in the languages that messages are written in."""

from __future__ import annotations

import re
from collections.abc import Mapping

FALLBACK = "en"

# title, ask, stops, still, button, done, again, wrong, later; {sender} is the brand's name.
_WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Reminders by e-mail",
        "ask": "Do you want no more reminders by e-mail from {sender}?",
        "stops": "This stops reminders about payments that did not go through.",
        "still": "Not stopped by this: notices that a contract or the law asks for, such as the last one before a "
        "service ends, and the invoices themselves. What is owed stays owed.",
        "button": "Stop reminders",
        "done": "You will get no more reminders by e-mail from {sender}.",
        "again": "If you want them again, just answer one of our messages.",
        "wrong": "This link is not complete. Please open it from the message once more.",
        "later": "This was opened very often just now. Please try again in a minute.",
    },
    "de": {
        "title": "Erinnerungen per E-Mail",
        "ask": "Möchten Sie keine Erinnerungen per E-Mail von {sender} mehr erhalten?",
        "stops": "Damit enden Erinnerungen an Zahlungen, die nicht durchgeführt werden konnten.",
        "still": "Nicht davon betroffen sind Mitteilungen, die ein Vertrag oder das Gesetz verlangt, etwa die letzte "
        "vor dem Ende einer Leistung, sowie die Rechnungen selbst. Offene Beträge bleiben offen.",
        "button": "Erinnerungen beenden",
        "done": "Sie erhalten keine Erinnerungen per E-Mail von {sender} mehr.",
        "again": "Wenn Sie sie wieder erhalten möchten, antworten Sie einfach auf eine unserer Nachrichten.",
        "wrong": "Dieser Link ist unvollständig. Bitte öffnen Sie ihn noch einmal aus der Nachricht.",
        "later": "Diese Seite wurde gerade sehr oft geöffnet. Bitte versuchen Sie es in einer Minute noch einmal.",
    },
    "fr": {
        "title": "Rappels par e-mail",
        "ask": "Souhaitez-vous ne plus recevoir de rappels par e-mail de {sender} ?",
        "stops": "Vous ne recevrez plus de rappels concernant les paiements qui n’ont pas abouti.",
        "still": "Cela ne concerne pas les avis exigés par un contrat ou par la loi, comme le dernier avant la fin "
        "d’un service, ni les factures elles-mêmes. Les montants dus restent dus.",
        "button": "Arrêter les rappels",
        "done": "Vous ne recevrez plus de rappels par e-mail de {sender}.",
        "again": "Si vous souhaitez les recevoir à nouveau, répondez simplement à l’un de nos messages.",
        "wrong": "Ce lien est incomplet. Veuillez l’ouvrir de nouveau depuis le message.",
        "later": "Cette page vient d’être ouverte très souvent. Veuillez réessayer dans une minute.",
    },
    "es": {
        "title": "Recordatorios por correo electrónico",
        "ask": "¿Desea no recibir más recordatorios por correo electrónico de {sender}?",
        "stops": "Con esto dejará de recibir recordatorios sobre pagos que no se pudieron realizar.",
        "still": "Esto no afecta a los avisos que exige un contrato o la ley, como el último antes de que termine un "
        "servicio, ni a las propias facturas. Lo que se debe se sigue debiendo.",
        "button": "Detener los recordatorios",
        "done": "No recibirá más recordatorios por correo electrónico de {sender}.",
        "again": "Si desea recibirlos de nuevo, responda a uno de nuestros mensajes.",
        "wrong": "Este enlace está incompleto. Ábralo de nuevo desde el mensaje.",
        "later": "Esta página se ha abierto muchas veces ahora mismo. Inténtelo de nuevo dentro de un minuto.",
    },
    "ja": {
        "title": "メールでのお知らせ",
        "ask": "{sender} からのメールでのお知らせを停止しますか。",
        "stops": "お支払いが完了しなかった際のお知らせが停止されます。",
        "still": "契約または法律により必要な通知(サービス終了前の最後の通知など)と請求書は停止されません。"
        "未払いの金額はそのまま残ります。",
        "button": "お知らせを停止する",
        "done": "{sender} からのメールでのお知らせは停止されました。",
        "again": "再開をご希望の場合は、お送りしたメールにご返信ください。",
        "wrong": "このリンクは不完全です。メールからもう一度開いてください。",
        "later": "短時間に何度も開かれています。一分ほど待ってからもう一度お試しください。",
    },
}
LANGUAGES = tuple(_WORDS)


def of(language: str, *, sender: str) -> dict[str, str]:
    """The words with the sender's name in them, not escaped: the template does that."""
    return {name: text.replace("{sender}", sender) for name, text in _WORDS[language].items()}


def language(wanted: str, accepted: str = "") -> str:
    """The link's language, else the first of the browser's (Accept-Language) that there are words in, else English."""
    for candidate in [wanted, *accepted[:200].split(",")]:
        name = re.split(r"[-_;]", candidate.strip().lower())[0]
        if name in _WORDS:
            return name
    return FALLBACK
