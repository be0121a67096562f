"""Methods of the recommender that answer requests for lists and explanations."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nearline.common.progress import Progress, no_progress
from nearline.data import read_interactions, to_frame
from nearline.engine.tracking import TrackingMethods
from nearline.jobs.training import Columns
from nearline.recommend import batch, lookups
from nearline.recommend.export import PART_USERS, Exported, export
from nearline.recommend.language import Draft
from nearline.recommend.merchandising import expressions_of
from nearline.recommend.pipeline import answer
from nearline.recommend.policies import with_choice
from nearline.recommend.ranking import rank
from nearline.recommend.scenarios import O, resolved
from nearline.recommend.selection import uses_time
from nearline.recommend.similar import similar
from nearline.schema import (
    Answer,
    ExplainOptions,
    Explanation,
    ListOptions,
    RankOptions,
    RecommendationList,
    RecommendationRequest,
    ScoredList,
    SimilarOptions,
    make_options,
)
from nearline.schema.arguments import as_list
from nearline.schema.records import AttributeValue


class ListMethods(TrackingMethods):
    """Recommend, rank and explain."""

    def recommend(self, user_id: str, k: int | None = None, **options: Any) -> RecommendationList:
        """Return the top `k` items for a user, known or not, each with its tier.

        `k` is 10 by default, or as the scenario says. `options`: other fields of
        `nearline.schema.RecommendationRequest`, such as `repeats`. The attribute `next` of the list
        is the `cursor` with which the next call continues it.
        """
        request = make_options(RecommendationRequest, user_id=user_id, k=k, **options)
        return RecommendationList(self.answer(request), self.title)

    def answer(self, request: RecommendationRequest, *, late: bool = False) -> Answer:
        """Return the answer to a request: a list with its ID, tier, model and offset.

        With `late`, neither the model nor the language model is used; the rules are the same.
        """
        if late:
            made = self._noted(answer(request, self._view(), late=True), request)
        else:
            made = self.draft(request).result()
        self.serve(self.served_list(request, made))
        return made

    def draft(self, request: RecommendationRequest, within: float | None = None) -> Draft[Answer]:
        """Answer without waiting for the language model; `within`: its time limit in seconds.

        The caller passes `served_list` of the answer to `serve` when it is sent.
        """
        if request.rerank:
            draft = self.language.draft_answer(request, self._view(), within)
            return draft.then(lambda found: self._noted(found, request))
        return Draft(self._noted(answer(request, self._view()), request))

    def resolved(self, options: O) -> O:
        """Return `options` with the values of its scenario and the default `k` where not set."""
        return resolved(self._chosen(options), self._current.open().state)

    def _chosen(self, options: O) -> O:
        """Return `options` with what the policy changes that its scenario chooses for the user."""
        scenarios = self._current.open().state.definitions.scenarios
        scenario = scenarios.get(options.scenario) if options.scenario is not None else None
        if scenario is None or scenario.bandit is None:
            return options
        if not isinstance(options, RecommendationRequest):
            return options
        return with_choice(options, self._view(), options.user_id, options.history)[0]

    def recommend_many(
        self,
        users: Iterable[str] | None = None,
        k: int | None = None,
        histories: object = None,
        *,
        columns: Columns | None = None,
        block_users: int | None = None,
        progress: Progress = no_progress,
        **options: Any,
    ) -> Any:
        """Recommend to many users: a frame of `user_id`, `item_id`, `score`, `rank` (from 1).

        Parameters
        ----------
        users
            None means all users.
        histories : frame, path or None
            Used instead of the stored histories in this call. The result has the type of
            `histories` or of the training data, else it is an Arrow table.
        block_users : int or None
            Users that are computed at a time; `progress` is called after each block.
        **options
            Other fields of `nearline.schema.ListOptions`.
        """
        frame = batch.recommend_many(
            users,
            make_options(ListOptions, k=k, **options),
            self._view(),
            given=None if histories is None else read_interactions(histories, columns),
            weight=self.config.state.weight,
            block=block_users,
            progress=progress,
        )
        return to_frame(frame, histories if histories is not None else self._like)

    def recommend_lists(
        self,
        users: Iterable[str],
        *,
        block_users: int = batch.BLOCK,
        progress: Progress = no_progress,
        **options: Any,
    ) -> Iterator[tuple[str, list[tuple[str, float]]]]:
        """Yield each user and the IDs and scores of the list, without a frame.

        The lists are those of `recommend_many`; a block of users is computed at a time.
        """
        asked = make_options(ListOptions, **options)
        return batch.recommend_lists(
            users, asked, self._view(), block=block_users, progress=progress
        )

    def export(
        self,
        path: str | Path,
        k: int | None = None,
        users: object = None,
        *,
        part_users: int = PART_USERS,
        progress: Progress = no_progress,
        **options: Any,
    ) -> Exported:
        """Write the lists of many users to a folder of Parquet files; resume an interrupted export.

        `users`: IDs, or a frame or file with a column `user_id`; None means all. `options` are
        those of `recommend_many`. For details see `nearline.recommend.export.export`.
        """
        return export(
            Path(path),
            users,
            make_options(ListOptions, k=k, **options),
            self._view(),
            erasures=self._current.deployment.log.erasures,
            weight=self.config.state.weight,
            part_users=part_users,
            progress=progress,
        )

    def similar(self, item_id: str, k: int = 10, **options: Any) -> ScoredList:
        """Return the items most similar to an item, best first.

        `options`: other fields of `nearline.schema.SimilarOptions`, such as `filter`. The attribute
        `next` of the list is the `cursor` of its next page.
        """
        asked = make_options(SimilarOptions, k=k, **options)
        least = max(self.config.similar_users, self.least_people)
        found = similar(item_id, asked, self._view(), least)
        return found.titled(self.title)

    def rank(self, user_id: str, item_ids: Sequence[str], **options: Any) -> ScoredList:
        """Rank the given items for a user, best first; with a filter, only those that it selects.

        `options`: fields of `nearline.schema.RankOptions`, such as `boost`.
        """
        asked = make_options(RankOptions, **options)
        ids = as_list(item_ids, "item_ids", "item IDs")
        return rank(user_id, ids, asked, self._view()).titled(self.title)

    def uses_time(self, request: ListOptions) -> bool:
        """Return whether an expression of a request, its scenario or rules depends on the time."""
        view = self._view()
        request = self._chosen(request)
        rules = view.state.definitions.active(request.scenario, view.now)
        return uses_time(resolved(request, view.state), expressions_of(rules))

    def fields(self, item_id: str, names: Iterable[str]) -> dict[str, AttributeValue]:
        """Return the fields and attributes of an item that it has, by name."""
        return lookups.fields(item_id, names, self._view())

    def explain(
        self, user_id: str, item_id: str, *, words: bool = False, **options: Any
    ) -> Explanation:
        """Return the parts of a score, which sum to it; with `words`, also as a sentence.

        `options`: the `boost` of the list, and the `context` if the boost uses it.
        """
        asked = make_options(ExplainOptions, words=words, **options)
        return self.draft_explanation(user_id, item_id, asked).result().titled(self.title)

    def draft_explanation(
        self, user_id: str, item_id: str, options: ExplainOptions
    ) -> Draft[Explanation]:
        """Explain without waiting for the language model, which the draft can wait for."""
        return self.language.draft_explanation(user_id, item_id, self._view(), options)
