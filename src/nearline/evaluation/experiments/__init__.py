"""Statistics of experiments: whether variants differ, and whether an experiment is sound.

- `sample_ratio`: do the variants have the shares of users that they should have?
- `ArmSums`, `compare_arms`: difference of two variants with an always-valid confidence sequence,
  narrowed by what was known before the experiment (CUPED);
- `compare_segments`: the same for each segment, corrected for their number;
- `required_users`, `power`: how many users an experiment needs;
- `compare_interleaved`: which of two interleaved rankers is preferred.
"""

from nearline.evaluation.experiments.arms import ArmSums, arm_sums
from nearline.evaluation.experiments.comparing import (
    ArmDifference,
    compare_arms,
    compare_interleaved,
    compare_segments,
)
from nearline.evaluation.experiments.planning import minimum_effect, power, required_users
from nearline.evaluation.experiments.sample_ratio import SampleRatio, sample_ratio
from nearline.evaluation.experiments.sequences import mixture_radius, sequential_p

__all__ = [
    "ArmDifference",
    "ArmSums",
    "SampleRatio",
    "arm_sums",
    "compare_arms",
    "compare_interleaved",
    "compare_segments",
    "minimum_effect",
    "mixture_radius",
    "power",
    "required_users",
    "sample_ratio",
    "sequential_p",
]
