"""Users of the console: ``counterfoil users create``, ``list``, ``password``, ``role``, ``remove``."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from cli.console import err, out, tables
from cli.patience import delivered
from models.errors import CounterfoilError, InvalidInput

cli = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Users of the console: analysts and those who look after them. Kept in $COUNTERFOIL_USERS_FILE, by default "
    "users.json; a running service takes over a change with the next page.",
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]


class UserRole(enum.StrEnum):
    """:data:`app.console.users.Role`: Typer takes no list of a Literal."""

    analyst = "analyst"
    senior = "senior"
    manager = "manager"
    auditor = "auditor"
    admin = "admin"


RoleOption = Annotated[
    UserRole,
    typer.Option(
        help="analyst decides alerts; senior also escalated ones; manager also takes alerts from others and reads the "
        "audit; auditor only reads; admin may do everything.",
        show_default=False,
    ),
]


@cli.command("create")
def create(
    name: NameArgument,
    role: RoleOption,
    subject: Annotated[
        str,
        typer.Option(
            help="How the issuer in COUNTERFOIL_OIDC_ISSUER calls them: they sign in through it, without a password.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Make a user and print their first password: this once, it is kept nowhere. They change it in the console.

    Once there is a user, everybody signs in, on this machine, too.

    Example: counterfoil users create ana --role analyst
    """
    from app.console.users import Identity, create_user, read_users
    from app.settings import load_settings

    settings = load_settings()
    path = settings.users_file
    if subject:
        if not settings.oidc_issuer:
            raise InvalidInput("--subject: set COUNTERFOIL_OIDC_ISSUER first, whose subject it is")
        create_user(path, name, role.value, Identity(issuer=settings.oidc_issuer, subject=subject))
        out.print(f"User {name} in {path.resolve()}: {role.value}, signs in through the issuer.", markup=False)
        return
    password = create_user(path, name, role.value)
    err.print(f"User {name} in {path.resolve()}: {role.value}. Their password, shown this once:", markup=False)
    _hand_over(password, name)
    if len(read_users(path) or ()) == 1:
        err.print("From now on everybody signs in to the console, on this machine, too.")


@cli.command("list")
def list_users() -> None:
    """List the users with their roles.

    Example: counterfoil users list
    """
    from rich.table import Table

    from app.console.users import read_users
    from app.settings import load_settings

    path = load_settings().users_file
    users = read_users(path)
    if not users:
        out.print(f"No users in {path}. To make one: counterfoil users create NAME --role analyst")
        return
    table = Table(box=None)
    for column in ("name", "role", "created", "password set", "signs in"):
        table.add_column(column)
    for user in users:
        changed = f"{user.changed_at:%Y-%m-%d %H:%M}" if user.password else ""
        ways = " or ".join(way for way, has in (("password", user.password), ("issuer", user.identity)) if has)
        table.add_row(user.name, user.role, f"{user.created_at:%Y-%m-%d %H:%M}", changed, ways)
    tables.print(table)


@cli.command("password")
def password(name: NameArgument) -> None:
    """Give a user a new password and print it: this once. Their sessions are over.

    Example: counterfoil users password ana
    """
    from app.console.users import set_password
    from app.settings import load_settings

    made = set_password(load_settings().users_file, name)
    err.print(f"The new password of {name}, shown this once:", markup=False)
    _hand_over(made, name)


@cli.command("role")
def role(name: NameArgument, role: RoleOption) -> None:
    """Give a user another role, from their next page on.

    Example: counterfoil users role ana --role senior
    """
    from app.console.users import set_role
    from app.settings import load_settings

    set_role(load_settings().users_file, name, role.value)
    out.print(f"{name}: {role.value}")


@cli.command("remove")
def remove(name: NameArgument) -> None:
    """Remove a user; they are signed out. What they did stays recorded as theirs.

    Example: counterfoil users remove ana
    """
    from app.console.users import remove_user
    from app.settings import load_settings

    remove_user(load_settings().users_file, name)
    out.print(f"Removed: {name}")


def _hand_over(password: str, name: str) -> None:
    print(password)
    if not delivered():
        raise CounterfoilError(f"nobody read the password; make another with 'counterfoil users password {name}'")
