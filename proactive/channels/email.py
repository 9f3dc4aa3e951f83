"""Notices by email over SMTP."""

import hashlib
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import ClassVar

from core.clock import Clock
from proactive.channel import DeliveryFailed, Notice, Receipt, Retry


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """Sends through one SMTP server, one connection a mail."""

    name: ClassVar[str] = "email"
    host: str
    port: int
    sender: str
    clock: Clock
    username: str = ""
    password: str = ""
    starttls: bool = False
    timeout: float = 20.0

    def send(self, notice: Notice) -> Receipt:
        """Hands the mail to the server; its answer 4xx is worth a retry, 5xx is not (RFC 5321, 4.2.1)."""
        message = self._message(notice)
        try:
            with smtplib.SMTP(self.host, self.port, timeout=self.timeout) as server:
                if self.starttls:
                    server.starttls(context=ssl.create_default_context())
                if self.username:
                    server.login(self.username, self.password)
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            code, answer = next(iter(error.recipients.values()))
            raise _failed(code, answer) from None
        except smtplib.SMTPAuthenticationError:
            raise DeliveryFailed("the SMTP server refused user name or password", retry=Retry.LATER) from None
        except smtplib.SMTPResponseException as error:
            raise _failed(error.smtp_code, error.smtp_error) from None
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryFailed(
                f"no mail server at {self.host}:{self.port}: {error or type(error).__name__}", retry=Retry.LATER
            ) from None
        return Receipt(reference=str(message["Message-ID"]))

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = notice.subject
        message["From"] = self.sender
        message["To"] = notice.recipient
        message["Date"] = format_datetime(self.clock())
        # The same notice always has the same id, so that a mailbox shows it once whatever happens on the way.
        digest = hashlib.sha256(notice.idempotency_key.encode()).hexdigest()[:32]
        domain = parseaddr(self.sender)[1].partition("@")[2] or "localhost"
        message["Message-ID"] = f"<{digest}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message["Content-Language"] = notice.language
        message.set_content(notice.text)
        message.add_alternative(notice.html, subtype="html")
        return message


def _failed(code: int, answer: bytes | str) -> DeliveryFailed:
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    return DeliveryFailed(
        f"the mail server answered {code} {text}", retry=Retry.LATER if 400 <= code < 500 else Retry.NEVER
    )
