"""What a file at a URL is called: as the URL says, or as its server says."""

from email.message import Message
from email.utils import collapse_rfc2231_value
from urllib.parse import unquote, urlsplit

from comfynb.deploy.net.answer import Answer
from comfynb.deploy.net.fetch import Fetcher
from comfynb.models._checks import check_file_name

__all__ = ["file_name", "name_in"]


def name_in(url: str) -> str | None:
    """The last part of a URL's path, if it is a plain file name."""
    return _plain(unquote(urlsplit(url).path.rpartition("/")[2]))


async def file_name(url: str, fetcher: Fetcher) -> str | None:
    """What the server of a URL calls its file, else the last part of where it leads; or None.

    Only its beginning is asked for. Raises FetchError, and AddressRefused.
    """
    answer = (await fetcher.head(url)).check()
    return _named(answer) or name_in(answer.url)


def _named(answer: Answer) -> str | None:
    """The name that Content-Disposition gives (RFC 6266), without any folder."""
    value = answer.headers.get("Content-Disposition")
    if value is None:
        return None
    header = Message()
    try:
        header["Content-Disposition"] = value
        params = header.get_params([], "Content-Disposition")
        said = [text for name, text in params or [] if name.lower() == "filename"]
        # Of two, the one that says its encoding (filename*) counts; it comes as a tuple.
        said.sort(key=lambda text: not isinstance(text, tuple))
        name = collapse_rfc2231_value(said[0]) if said else ""
    except (ValueError, LookupError):
        # A header of several lines, or in an encoding that there is not.
        return None
    return _plain(name.replace("\\", "/").rpartition("/")[2])


def _plain(name: str) -> str | None:
    try:
        return check_file_name(name)
    except ValueError:
        return None
