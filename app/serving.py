"""What serves: the generation that answers now, and the ledger, which lives as long as the process.

Another generation over the same states takes over by taking :attr:`Serving.generation`'s place: requests hold the one
they began with, and the ledger decides each transaction under its own.
"""

from __future__ import annotations

from app.beside import Beside
from app.generation import Generation
from app.problems import Refused
from app.recording.activations import activated
from app.recording.ledger import Ledger
from app.recording.recorder import Recorder
from app.replies import Succession
from app.settings import Settings
from app.telemetry.metrics import Metrics
from models.manifest import Manifest
from models.registry import Active, Registry
from models.scorer import Scorer


class Serving:
    """Empty until it is started.

    Args:
        metrics: where to count.
        anew: whether it may make the states of a shared store anew, see :func:`app.recording.startup.recover`.

    Attributes:
        generation: answers now; None until one is loaded.
        succession: the version that is to answer next, or cannot; None where there is none. Any thread may ask.
        ledger: records, and owns store and states; None until then.
        beside: does what must not take the processor from those who wait for the ledger.
    """

    def __init__(self, settings: Settings, metrics: Metrics, *, anew: bool = True) -> None:
        self._settings, self._metrics, self._anew = settings, metrics, anew
        self.generation: Generation | None = None
        self.succession: Succession | None = None
        self.ledger: Ledger | None = None
        self.beside = Beside(lambda: self.ledger is not None and self.ledger.pressed)

    def start(self, scorer: Scorer) -> None:
        """Serve a loaded, verified model from now on, the store opened and its states brought up to date.

        Raises:
            StoreInUse: another process owns the store.
            StoreUnavailable: it cannot be reached.
            InvalidInput: the settings of pseudonyms are wrong, or not those of the store.
        """
        generation = Generation.of(self._settings, scorer)
        recorder = Recorder.open(
            self._settings, generation.scorer, generation.pseudonyms, self._metrics, anew=self._anew
        )
        try:
            self._say_active(recorder, scorer.manifest)
        except BaseException:
            recorder.close()
            raise
        self.ledger = Ledger(recorder, self._settings.on_store_failure)
        self.generation = generation

    def _say_active(self, recorder: Recorder, manifest: Manifest) -> None:
        wanted = Registry(self._settings.artifacts).activation()
        if wanted is None or wanted.version != manifest.version:  # served by its name
            wanted = Active(manifest.version)
        activated(recorder.store, manifest, wanted.by, wanted.report)

    async def replace(self, generation: Generation, wanted: Active) -> None:
        """Record that another version answers from now on, and let it, between two transactions of the store.

        Args:
            generation: fits the one that answers now, see :mod:`app.reload.fit`; ``wanted``: by whom and why.

        Raises:
            StoreUnavailable: nothing has changed.
        """
        _, ledger = self.now()

        def change_over() -> None:  # in the ledger's thread
            activated(ledger.recorder.store, generation.scorer.manifest, wanted.by, wanted.report)
            ledger.recorder.recover_from(generation.scorer, generation.pseudonyms)
            self.generation, self.succession = generation, None

        await ledger.run(change_over)

    def close(self) -> None:
        """Finish what is queued and release the store."""
        if self.ledger is not None:
            self.ledger.close()

    def now(self) -> tuple[Generation, Ledger]:
        """What a request that begins now is answered with.

        Raises:
            Refused: no model is loaded yet.
        """
        if self.generation is None or self.ledger is None:
            raise Refused("not-ready", "no model is loaded yet")
        return self.generation, self.ledger
