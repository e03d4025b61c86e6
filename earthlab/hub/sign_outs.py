"""Ending what a seat's old holders have at the hub when its pass was revoked or issued anew."""

from typing import Any

from jupyterhub import orm

from earthlab.hub.keys import KeyStore
from earthlab.hub.passes import PassStore, SignOut

EVERY = 1.0
"""Seconds between two looks for sessions that must end."""


async def end_sessions(app: Any, passes: PassStore, keys: KeyStore, user: str | None = None) -> None:
    """End the sessions of all whose seats ask for it, or of one ``user``; those that cannot end yet stay listed."""
    for due in passes.sign_outs():
        if user in {None, due.user} and await _end(app, keys, due):
            passes.signed_out(due)


async def _end(app: Any, keys: KeyStore, due: SignOut) -> bool:
    keys.forget(due.user)
    orm_user = orm.User.find(app.db, due.user)
    if orm_user is None:
        return True
    user = app.users[orm_user]
    # Cookies of the hub carry this id: all of them are worth nothing from now on.
    orm_user.cookie_id = orm.new_token()
    _delete_tokens(app.db, user)
    if not due.stop:
        return True
    spawners = list(user.spawners.items())
    if any(spawner.pending for _, spawner in spawners):
        return False
    for name, spawner in spawners:
        if spawner.active:
            await app.proxy.delete_user(user, name)
            await user.stop(name)
    app.log.info("The seat of %s was revoked: signed out, its server is stopped.", user.name)
    return True


def _delete_tokens(db: Any, user: Any) -> None:
    # Browsers and ssh come in by these. The servers' own stay, or their kernels could not go on.
    own = {orm.APIToken.find(db, spawner.api_token) for spawner in user.spawners.values() if spawner.api_token}
    for token in db.query(orm.APIToken).filter_by(user_id=user.id):
        if token not in own:
            db.delete(token)
    db.commit()
