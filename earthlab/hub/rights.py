"""The page on which people see what licensed data they may read, why not, and how to get the right."""

from datetime import UTC, datetime
from typing import Any

from jupyterhub.handlers import BaseHandler
from jupyterhub.scopes import get_scopes_for
from tornado.web import authenticated

from earthlab.rights import Person, judge, load_rules

PAGE = "droits"


def describe_person(user: Any, scopes: frozenset[str], *, shared: bool) -> Person:
    """What the hub itself knows of one of its users."""
    groups = {
        group.name: {str(name): value for name, value in group.properties.items() if isinstance(value, str)}
        for group in user.groups
    }
    return Person(user.name, groups, scopes, shared)


def granted_classes(user: Any, *, shared: bool) -> tuple[str, ...]:
    """The ids of the rules that let one of the hub's users read, today."""
    person = describe_person(user, get_scopes_for(user.orm_user), shared=shared)
    today = datetime.now(UTC).date()
    return tuple(rule.id for rule in load_rules() if judge(rule, person, today).allowed)


class RightsHandler(BaseHandler):  # type: ignore[misc]  # JupyterHub has no types
    """``GET /hub/droits``: the signed-in user's rights."""

    @authenticated
    async def get(self) -> None:
        """The page, for nobody but the user."""
        shared = bool(self.settings["template_vars"].get("accounts_are_shared"))
        person = describe_person(self.current_user, frozenset(self.expanded_scopes), shared=shared)
        today = datetime.now(UTC).date()
        verdicts = [(rule, judge(rule, person, today)) for rule in load_rules()]
        self.set_header("Cache-Control", "no-store")
        self.finish(await self.render_template("rights.html", verdicts=verdicts, groups=sorted(person.groups)))
