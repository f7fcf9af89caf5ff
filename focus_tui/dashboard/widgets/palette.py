"""The palette (`ctrl+p`): every action of the screen that applies now, by its name."""

from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from focus_tui.dashboard.widgets.hints import key_name


class ScreenActions(Provider):
    """Offers what the keys of the screen do."""

    def _actions(self) -> list[tuple[str, str, str]]:
        """Key, words and action of everything that applies, each action once."""
        found = {}
        for key, active in self.screen.active_bindings.items():
            binding = active.binding
            if binding.description and active.enabled and binding.action not in found:
                found[binding.action] = (key_name(key), binding.tooltip or binding.description, binding.action)
        return list(found.values())

    async def discover(self) -> Hits:
        """Offer everything before anything is typed."""
        for key, words, action in self._actions():
            yield DiscoveryHit(words.capitalize(), partial(self.screen.run_action, action), help=f"key {key}")

    async def search(self, query: str) -> Hits:
        """Offer what fits the words typed."""
        matcher = self.matcher(query)
        for key, words, action in self._actions():
            if (score := matcher.match(words)) > 0:
                run = partial(self.screen.run_action, action)
                yield Hit(score, matcher.highlight(words.capitalize()), run, help=f"key {key}")
