"""Writes the customer's notice from templates, in the customer's language."""

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from core.profile import Profile

_TEMPLATES = Environment(
    loader=PackageLoader("proactive", "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who speaks to the customer."""

    brand: str
    phone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A rendered notice."""

    subject: str
    text: str
    html: str


def write(
    profile: Profile,
    failure_mode: str,
    *,
    component: str,
    language: str,
    customer: str,
    device: str,
    model: str,
    sender: Sender,
) -> Letter:
    """The first notice about a fault: what was seen, what the customer can do now, what happens next."""
    mode = profile.failure_modes.get(failure_mode)
    playbook = mode.playbook if mode else None
    part = profile.components.get(component)
    values = {
        "brand": sender.brand,
        "phone": sender.phone,
        "customer": customer,
        "device": device,
        "model": model,
        "product": profile.title.get(language),
        "component": part.title.get(language) if part else "",
        "what": playbook.customer.get(language) if playbook else "",
        "steps": [step.get(language) for step in playbook.steps] if playbook else [],
    }

    def render(kind: str) -> str:
        return _TEMPLATES.get_template(f"notice.{language}.{kind}").render(values)

    # A header is one line, whatever a profile or a name contains.
    return Letter(subject=" ".join(render("subject.txt").split()), text=render("txt"), html=render("html"))
