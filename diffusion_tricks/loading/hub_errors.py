"""What may go wrong between this machine and the hub, each in a sentence that says what to do. No torch here."""

from __future__ import annotations

from collections.abc import Collection

from diffusion_tricks.loading.files import INDEX_FILE
from diffusion_tricks.loading.known import GIGABYTES
from diffusion_tricks.loading.location import HubName

SETTINGS = ("*.json", "*.txt", "*.model")
EVERYTHING = (*SETTINGS, "*/*.safetensors")
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def raised_by_the_hub() -> tuple[type[Exception], ...]:
    """What a call of the hub may raise: its own errors, and those of the library that it speaks HTTP with."""
    from huggingface_hub import errors

    http = errors.HfHubHTTPError.__bases__  # the root of that library's errors, which library it may be, and OSError
    others = (errors.EntryNotFoundError, errors.HFValidationError, OSError, RuntimeError)
    return tuple(each for each in (*http, *others) if issubclass(each, Exception))


def explained(error: BaseException, name: HubName, patterns: Collection[str] = EVERYTHING) -> str:
    """What went wrong with a model of the hub, of which some files are needed, and what to do, in a sentence."""
    from huggingface_hub import errors, get_token

    repository = name.repository
    if isinstance(error, errors.GatedRepoError):
        then = LOG_IN if get_token() is None else "use a token of the account that did"
        return f"{name} asks to accept its terms first: do so on the page of {repository} at the hub, then {then}"
    if isinstance(error, errors.RepositoryNotFoundError):
        then = LOG_IN if get_token() is None else "use a token that has access"
        return f"the hub shows no model {repository!r}: check the name; if it is a private one, {then}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository} has no revision {name.revision!r}; expected one of its branches, tags or commits"
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return no_pipeline(name)
    cause = error if isinstance(error, errors.HfHubHTTPError) else error.__cause__ or error
    return f"{name} is not on this machine; {bring(name, cause, patterns)}"


def no_pipeline(name: HubName) -> str:
    """What to say of a model that is in other files than those of diffusers."""
    return (
        f"{name} is not a diffusers pipeline: it has no {INDEX_FILE}; a checkpoint in one .safetensors file is "
        "downloaded by itself and given by its path"
    )


def in_part(name: HubName, lacks: str, cause: BaseException) -> str:
    """What to do about a model of which something is missing on this machine."""
    return f"of {name} only a part is on this machine, {lacks}; {bring(name, cause)}"


def bring(name: HubName, cause: BaseException, patterns: Collection[str] = EVERYTHING) -> str:
    """Why nothing comes from the hub, and how to bring a model here."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError

    why = f"the hub cannot be reached ({first_line(cause)}): check the network"
    if constants.HF_HUB_OFFLINE:
        why = "HF_HUB_OFFLINE is set: unset it"
    elif isinstance(cause, HfHubHTTPError):
        status = cause.response.status_code
        why = f"the hub answered {status}: " + ("check the token" if status in (401, 403) else "try again later")
    size = f" ({GIGABYTES[name.repository]} GB or more)" if name.repository in GIGABYTES else ""
    return f"{why}, or run `{download_command(name, patterns)}` where that works{size}"


def download_command(name: HubName, patterns: Collection[str] = EVERYTHING) -> str:
    """The command that downloads a model, or the files of it that fit `patterns`, into the hub's cache."""
    revision = f" --revision {name.revision}" if name.revision else ""
    return f"hf download {name.repository}{revision}" + "".join(f' --include "{each}"' for each in patterns)


def first_line(error: BaseException) -> str:
    """An error's kind and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
