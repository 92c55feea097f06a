"""How a method of Proxmox VE fails, called through the API or by a tool: status codes and wording."""


class PveError(Exception):
    """An answer other than success.

    Args:
        status: HTTP status; Proxmox uses 500 for every `die`, 400 for parameters, 403 for permissions.
        message: Proxmox's message, without a newline at its end.
        errors: messages by parameter, for a 400.
    """

    def __init__(self, status: int, message: str, errors: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


def die(message: str) -> PveError:
    """Proxmox's `die`: status 500."""
    return PveError(500, message)


def parameter_error(errors: dict[str, str]) -> PveError:
    """Proxmox's `raise_param_exc`: status 400 with a message for each parameter."""
    return PveError(400, "Parameter verification failed.", errors)


def forbidden(reason: str) -> PveError:
    """A permission that the user lacks; the reason is "PATH, PRIVILEGE" or empty."""
    return PveError(403, f"Permission check failed ({reason})" if reason else "Permission check failed")
