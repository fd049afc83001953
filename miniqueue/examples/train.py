"""Training that goes on after kill -9: a checkpoint after each epoch.

Ten logistic regressions, one a digit, by stochastic gradient descent. An epoch depends on nothing
but the weights before it and its own number, and it starts from the rounded weights that a
checkpoint holds; so a run that was killed ends with the same weights as one that was not.

Left out: a place for large models. A checkpoint is JSON in Redis, here of 7 kB; a model of
megabytes belongs in a file or an object store, and its address in the checkpoint.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from miniqueue.context import Context
from miniqueue.errors import Fail
from miniqueue.examples.samples import BLACK, PIXELS, held_out, training
from miniqueue.registry import task

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["train"]

MOST_EPOCHS = 1000
DECIMALS = 6  # of a weight


@task
def train(ctx: Context, epochs: int = 20, pause_s: float = 0.0) -> dict[str, Any]:
    """Train for 1 to 1,000 epochs; gives {"epochs", "accuracy", "resumed_at"}.

    `accuracy` is the share of 450 held-out images that it reads right, 0 to 1. `resumed_at` is the
    epoch after which this attempt went on, 0 where it began anew. `pause_s` after each epoch makes
    it slow enough to be killed.
    """
    if type(epochs) is not int or not 1 <= epochs <= MOST_EPOCHS:
        raise Fail(f"epochs is 1 to {MOST_EPOCHS:,}, not {epochs!r}")
    model = Model.of(ctx.resumed)
    resumed_at = model.epoch
    while model.epoch < epochs:
        model = model.after_an_epoch()
        ctx.checkpoint(model.to_json())
        text = f"epoch {model.epoch} of {epochs}, accuracy {model.accuracy():.3f}"
        ctx.progress(model.epoch / epochs, text)
        time.sleep(pause_s)
    return {"epochs": epochs, "accuracy": model.accuracy(), "resumed_at": resumed_at}


@dataclass(frozen=True)
class Model:
    """Weights, shape (10, 64), and biases, shape (10,), after so many epochs."""

    epoch: int
    weights: NDArray[Any]
    biases: NDArray[Any]

    @classmethod
    def of(cls, checkpoint: dict[str, Any] | None) -> Model:
        """The model of a checkpoint; without one a model that knows nothing."""
        import numpy

        if checkpoint is None:
            return cls(0, numpy.zeros((10, PIXELS)), numpy.zeros(10))
        weights, biases = (numpy.array(checkpoint[name]) for name in ("weights", "biases"))
        return cls(checkpoint["epoch"], weights, biases)

    def to_json(self) -> dict[str, Any]:
        """The inverse of of()."""
        weights, biases = self.weights.tolist(), self.biases.tolist()
        return {"epoch": self.epoch, "weights": weights, "biases": biases}

    def after_an_epoch(self) -> Model:
        """The model after one more pass over the training images, in an order of its own."""
        from sklearn.linear_model import SGDClassifier

        images, digits = training()
        descent = SGDClassifier(
            loss="log_loss",
            learning_rate="constant",
            eta0=0.01,
            max_iter=1,
            tol=None,
            random_state=self.epoch,
        )
        descent.fit(images / BLACK, digits, coef_init=self.weights, intercept_init=self.biases)
        weights, biases = descent.coef_.round(DECIMALS), descent.intercept_.round(DECIMALS)
        return Model(self.epoch + 1, weights, biases)

    def accuracy(self) -> float:
        """The share of held-out images that it reads right."""
        images, digits = held_out()
        scores = images / BLACK @ self.weights.T + self.biases  # shape (450, 10)
        return round(float((scores.argmax(axis=1) == digits).mean()), 4)
