"""Which frames are missing, by the times of those that come."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["FrameClock"]

#: A frame that is late by a whole frame's time, less this part of one, follows one that was lost.
EARLY = 0.3
#: of so many frames the earliest tells how late all of them are
TRIAL = 8
#: the part of a frame's time by which a camera may be slower, each frame, and still lose none
DRIFT = 0.005


class FrameClock(NamedTuple):
    """When frames are due, by the times of those that came: it separates late from lost frames.

    A frame may come late, by a time that jitters, but not early. So it is compared with when it is
    due, as the earliest frames tell, and not with the frame before it:

    - a frame that is 0.7, 1.7, ... frames' time late tells that one, two, ... are missing;
    - a frame that comes before it is due sets the clock back to itself;
    - if all of eight frames are late, the clock goes forward to the earliest of them: by the whole
      frames that it is late by, which are lost, and of the rest by what a camera may drift.

    Frames that are missing are held at once. If those that follow are not as late, none was lost:
    what was held can't be taken back, but the next one that is lost is not held again. So frames
    that were held by mistake don't add up; lateness of up to 1.7 frames' time makes one at most.

    Attributes
    ----------
    time
        the last frame's
    due
        when it was due, as far as the clock has been set forward
    ahead
        how many frames were held for which the clock has not been set forward
    n_frames
        how many of eight frames have come
    late
        by how many frames' time the earliest of them was late
    """

    time: float
    due: float
    ahead: int
    n_frames: int
    late: float

    @classmethod
    def at(cls, time: float) -> FrameClock:
        """Return the clock at a first frame's time."""
        return cls(time, time, 0, 0, math.inf)

    @classmethod
    def checked(
        cls, time: float, due: float, ahead: float, n_frames: float, late: float
    ) -> FrameClock:
        """Return the clock of these attributes, as numbers that were stored.

        Raises
        ------
        ValueError
            there is no such clock
        """
        if not (math.isfinite(time) and 0 <= time - due < math.inf and late >= 0):
            raise ValueError(f"expected a clock's times, got {time:g}, {due:g} and {late:g}")
        if not (0 <= ahead < math.inf and 0 <= n_frames < TRIAL):
            raise ValueError(f"expected a clock's counts, got {ahead:g} and {n_frames:g}")
        return cls(time, due, int(ahead), int(n_frames), late)

    def after(self, time: float, untimed: int, fps: float) -> tuple[int, FrameClock]:
        """Return how many frames are missing before the next one, and the clock after it.

        Parameters
        ----------
        time
            when it comes, in seconds
        untimed
            how many frames came without a time before it
        fps
            frames a second
        """
        late = max((time - self.due) * fps - 1 - untimed, 0.0)
        lost = math.floor(late + EARLY)
        missing, ahead = max(lost - self.ahead, 0), max(lost, self.ahead)
        n_frames, earliest = self.n_frames + 1, min(self.late, late)
        if n_frames == TRIAL:
            lost = math.floor(earliest + EARLY)
            late -= lost + min(earliest - lost, DRIFT * (TRIAL + lost))
            ahead, n_frames, earliest = ahead - lost, 0, math.inf
        return missing, FrameClock(time, time - late / fps, ahead, n_frames, earliest)
