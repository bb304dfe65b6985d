//! The figures of a delivery, as a plain value.

use std::ops::AddAssign;

use crate::clock::Wall;

/// Batches, and the data points in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many batches.
    pub batches: u64,
    /// How many data points.
    pub points: u64,
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.batches += other.batches;
        self.points += other.points;
    }
}

/// Why an accepted batch was given up: a closed set, the `reason` attribute of `linkit.bridge.push.dropped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// It was the oldest when the queue had no room.
    Size,
    /// It waited longer than batches may.
    Age,
    /// The endpoint refused it for good.
    Rejected,
    /// It is larger than the whole queue may be.
    Oversize,
    /// What was stored of it is damaged.
    Corrupt,
    /// The disk would not store it and memory had no room, or would not give it back.
    Storage,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 6] = [Self::Size, Self::Age, Self::Rejected, Self::Oversize, Self::Corrupt, Self::Storage];

    /// The reason's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Age => "age",
            Self::Rejected => "rejected",
            Self::Oversize => "oversize",
            Self::Corrupt => "corrupt",
            Self::Storage => "storage",
        }
    }
}

/// How one attempt went: a closed set, the `outcome` attribute of `linkit.bridge.push.attempts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint took all points.
    Success,
    /// The endpoint took the batch and refused some of its points, which are not sent again.
    Partial,
    /// The endpoint asked for the batch again: 429, 502, 503 or 504.
    Retry,
    /// There was no answer; the batch is sent again.
    Unanswered,
    /// The endpoint refused the batch as too large, and it is sent in parts.
    Divided,
    /// The endpoint refused the batch for good.
    Rejected,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 6] =
        [Self::Success, Self::Partial, Self::Retry, Self::Unanswered, Self::Divided, Self::Rejected];

    /// The outcome's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Retry => "retry",
            Self::Unanswered => "unanswered",
            Self::Divided => "divided",
            Self::Rejected => "rejected",
        }
    }
}

/// What has become of all batches; `accepted = delivered + queued + dropped`, in batches and in points.
///
/// A batch that was too large for its endpoint is one batch all the same: it is queued until the last of its parts is
/// decided, and then delivered, or dropped if any part was. The points of each part are booked when it is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryStats {
    /// All that was put, and all the spool held at the start.
    pub accepted: Amount,
    /// What waits, the batch on its way included.
    pub queued: Amount,
    /// Bytes that wait.
    pub queued_bytes: u64,
    /// Batches that wait in memory alone: all without a spool, with one those that its disk has not taken.
    pub unstored: u64,
    /// When the oldest waiting batch was made.
    pub oldest_accepted: Option<Wall>,
    /// What the endpoint took.
    pub delivered: Amount,
    /// Points of delivered batches that the endpoint refused.
    pub refused_points: u64,
    /// What was given up, in the order of [`DropReason::ALL`].
    pub dropped: [Amount; DropReason::ALL.len()],
    /// Attempts, in the order of [`Outcome::ALL`].
    pub attempts: [u64; Outcome::ALL.len()],
    /// When a batch was last delivered.
    pub last_success: Option<Wall>,
}

impl DeliveryStats {
    /// What was given up for `reason`.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> Amount {
        self.dropped[reason as usize]
    }

    /// Attempts that ended in `outcome`.
    #[must_use]
    pub const fn attempts(&self, outcome: Outcome) -> u64 {
        self.attempts[outcome as usize]
    }
}
