"""The command palette (`ctrl+p`): every available action of the screen, by name."""

from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from focus_tui.dashboard.widgets.hints import key_name


class ScreenActions(Provider):
    """Provides the actions of the screen to the palette."""

    def _actions(self) -> list[tuple[str, str, str]]:
        """Return key, description and action name of each available action."""
        found = {}
        for key, active in self.screen.active_bindings.items():
            binding = active.binding
            if binding.description and active.enabled and binding.action not in found:
                found[binding.action] = (key_name(key), binding.tooltip or binding.description, binding.action)
        return list(found.values())

    async def discover(self) -> Hits:
        """Yield all available actions, before anything is typed."""
        for key, words, action in self._actions():
            yield DiscoveryHit(words.capitalize(), partial(self.screen.run_action, action), help=f"key {key}")

    async def search(self, query: str) -> Hits:
        """Yield the actions that match the typed text."""
        matcher = self.matcher(query)
        for key, words, action in self._actions():
            if (score := matcher.match(words)) > 0:
                run = partial(self.screen.run_action, action)
                yield Hit(score, matcher.highlight(words.capitalize()), run, help=f"key {key}")
