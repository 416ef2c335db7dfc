"""Searches of several methods: one after the other, or side by side on workers.

Each search is sequential wherever its trials run, since every suggestion follows from the trials
before: what is found does not depend on the number of workers. So a method has one worker at a
time, and what has an encoder in its slot waits for the encoder's own search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from benchmark.config import read_layers
from benchmark.display.progress import RunProgress
from benchmark.errors import RunError, UserError
from benchmark.runs.failures import explain
from benchmark.runs.home_check import check_home
from benchmark.runs.plan import World
from benchmark.runs.runner import Settling
from benchmark.tuning.search import Outcome, Search
from benchmark.tuning.space import Space
from benchmark.tuning.trials import first_trials, tune_method

if TYPE_CHECKING:
    from benchmark.scaleout.crew import Crew
    from benchmark.scaleout.hands import Hands


def tune_methods(
    spaces: Mapping[str, Space], search: Search, world: World, hands: Hands
) -> tuple[list[Outcome], list[str]]:
    """Searches settings of every method.

    Args:
        spaces: What is searched, by method; what stands in an encoder slot comes first.
        search: What was asked.
        world: Of the search's run.
        hands: Who runs the trials.

    Returns:
        What came of each method, and what kept one from being searched at all.

    Raises:
        UserError: What is trained cannot be kept.
        RunError: The disk is full.
    """
    if hands.at_home:
        check_home(first_trials(spaces, search, world), world, search.config)

    def tune(method: str, progress: RunProgress, settling: Settling) -> Outcome | str:
        try:
            return tune_method(method, spaces[method], search, world, progress, settling)
        except UserError as error:  # the others' searches need not end for it
            return f"{method}: {error}"
        except OSError as error:
            raise RunError(explain(error)) from None

    if hands.crew is None:
        found = [tune(method, hands.progress, hands.settling) for method in spaces]
    else:
        crew = hands.crew
        found = _side_by_side(
            spaces, search, world, crew, lambda own: tune(own, crew.progress(own), hands.settling)
        )
    outcomes = [own for own in found if isinstance(own, Outcome)]
    return outcomes, [own for own in found if isinstance(own, str)]


def _side_by_side(
    spaces: Mapping[str, Space],
    search: Search,
    world: World,
    crew: Crew,
    tune: Callable[[str], Outcome | str],
) -> list[Outcome | str]:
    layers = read_layers(search.config, search.tables)
    at_once = crew.start(len(spaces), world.threads, world.accelerator)
    futures: dict[str, Future[Outcome | str]] = {}

    def in_time(method: str) -> Outcome | str:
        encoder = layers.encoder(search.tables, method)
        if encoder is not None and encoder != method and encoder in futures:
            wait([futures[encoder]])
        return tune(method)

    with ThreadPoolExecutor(at_once) as pool:
        try:
            for method in spaces:
                futures[method] = pool.submit(in_time, method)
            return [future.result() for future in futures.values()]
        except BaseException:
            crew.closing.set()  # so that the searches' threads end
            pool.shutdown(wait=False, cancel_futures=True)
            raise
