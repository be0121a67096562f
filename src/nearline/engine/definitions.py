"""Methods of the recommender that store and read scenarios and rules."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from nearline import ingest
from nearline.engine.base import Engine
from nearline.engine.other_models import load_models, models_of_scenario
from nearline.log import Appended
from nearline.recommend.scenarios import check_definition
from nearline.schema.definitions import RULE, SCENARIO


class DefinitionMethods(Engine):
    """Store and read scenarios and merchandising rules."""

    def put_scenario(self, name: str, **fields: Any) -> Appended:
        """Store a scenario durably: options for the requests that name it.

        Parameters
        ----------
        name : str
            Name to give as `scenario` in requests. A scenario of this name is replaced.
        **fields
            Options of a request, such as `filter`, `boost`, `diversity`, `max_per`, `repeats`,
            `fields`, `k` and `min_score`; `rules`: the names of the rules that apply to its lists
            (by default all that are not for another scenario); `because`; `model`: the ID of the
            snapshot that ranks items; and `bandit`: policies among which it chooses, see
            `nearline.schema.bandits.Bandit`.

        Raises
        ------
        InvalidInput, UnknownSnapshot
            A field is unknown or invalid, or names what does not exist; nothing was stored.
        """
        return self.queue_definition(SCENARIO, name, fields).result()

    def scenario(self, name: str) -> dict[str, Any]:
        """Return the name of a scenario and the fields that it sets."""
        return ingest.definition(self._current.open().state, SCENARIO, name)

    def scenarios(self) -> list[dict[str, Any]]:
        """Return all scenarios, in alphabetical order."""
        return ingest.definitions(self._current.open().state, SCENARIO)

    def delete_scenario(self, name: str) -> Appended:
        """Delete a scenario durably; requests that name it are refused from then on."""
        return self.queue_removal(SCENARIO, name).result()

    def put_rule(self, name: str, **fields: Any) -> Appended:
        """Store a merchandising rule durably; a rule of this name is replaced.

        Parameters
        ----------
        name : str
            Name that answers state if the rule fired.
        **fields
            One of `pin` (`item_id`, `position` from 1), `bury` (`filter`) and `scale` (`filter`,
            `factor`); optionally `scenario`, and the times `from` (in Python also `start`) and
            `until`, as Unix seconds, RFC 3339 or a datetime.

        Raises
        ------
        InvalidInput
            A field is unknown or invalid, or the item or scenario does not exist; nothing was
            stored.
        """
        if "start" in fields:
            fields["from"] = fields.pop("start")
        return self.queue_definition(RULE, name, fields).result()

    def rule(self, name: str) -> dict[str, Any]:
        """Return the name of a rule and its fields; times are in Unix seconds."""
        return ingest.definition(self._current.open().state, RULE, name)

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules, in alphabetical order."""
        return ingest.definitions(self._current.open().state, RULE)

    def delete_rule(self, name: str) -> Appended:
        """Delete a rule durably."""
        return self.queue_removal(RULE, name).result()

    def queue_definition(
        self, kind: str, name: str, fields: Mapping[str, object]
    ) -> Future[Appended]:
        """Queue a definition of a kind; once the future resolves, every list reflects it."""
        parts = self._current.open()
        record = ingest.checked_definition(kind, name, fields, parts.state)
        check_definition(record, self._view())
        if kind == SCENARIO:
            load_models(self._current, SCENARIO, name, models_of_scenario(record.body))
        if record.body.get("explore") or record.body.get("bandit"):
            self._periodic.start()
        return ingest.define(parts.log, record, now=self._clock())

    def queue_removal(self, kind: str, name: str) -> Future[Appended]:
        """Queue the removal of a definition; the future resolves when it is durable."""
        parts = self._current.open()
        return ingest.undefine(parts.log, parts.state, kind, name, now=self._clock())
