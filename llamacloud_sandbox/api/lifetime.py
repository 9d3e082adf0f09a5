"""How long a listing's page tokens are good; knows neither jobs nor HTTP."""

from llamacloud_sandbox.api.tokens import Begun, Token
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.world import World


class Lifetime:
    """Counts pages, and judges tokens by their age, if the settings give tokens one."""

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._settings = settings
        self._pages = 0

    def begun(self, token: Token | None) -> Begun | None:
        """When the listing began that this token continues, or that begins now."""
        if token is not None:
            return token.begun
        if self._settings.token_seconds or self._settings.token_requests:
            return Begun(self._world.now().timestamp(), self._pages)
        return None

    def note_page(self) -> None:
        """Count a page that is made."""
        self._pages += 1

    def is_over(self, token: Token) -> bool:
        """Whether the token has expired; one that was given before tokens had an age has not."""
        if token.begun is None:
            return False
        seconds, pages = self._settings.token_seconds, self._settings.token_requests
        age = self._world.now().timestamp() - token.begun.seconds
        return bool(
            (seconds and age >= seconds) or (pages and self._pages - token.begun.pages >= pages)
        )
