//! What a seed says: the steps of a run, drawn before it begins, so that a run can be repeated without some of them.

/// Numbers that a seed fixes (`SplitMix64`).
pub struct Chance(u64);

impl Chance {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What happens in a step; who does it to what is for the dice, and depends on who and what there is by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Join,
    LogIn,
    LogOut,
    NewPassword,
    Grant,
    Withdraw,
    SuspendMember,
    ReinstateMember,
    Erase,
    Request,
    Edit,
    Resubmit,
    Appeal,
    WithdrawApplication,
    WithdrawChange,
    Rotate,
    Review,
    Look,
    Answer,
    Rescind,
    RescindAll,
    Issue,
    EndToken,
    Regenerate,
    Reveal,
    Write,
    Publish,
    Comment,
    Vote,
    MarkRead,
    Repeat,
    House,
    Advance,
    Stop,
    Crash,
    LoseModels,
    Misplace,
    FullDisk,
    Jump,
    Rebuild,
    Check,
}

/// How often each comes, in so many thousand steps.
const WEIGHTS: &[(Kind, u64)] = &[
    (Kind::Join, 10),
    (Kind::LogIn, 12),
    (Kind::LogOut, 8),
    (Kind::NewPassword, 5),
    (Kind::Grant, 20),
    (Kind::Withdraw, 14),
    (Kind::SuspendMember, 14),
    (Kind::ReinstateMember, 20),
    (Kind::Erase, 4),
    (Kind::Request, 45),
    (Kind::Edit, 50),
    (Kind::Resubmit, 25),
    (Kind::Appeal, 18),
    (Kind::WithdrawApplication, 8),
    (Kind::WithdrawChange, 10),
    (Kind::Rotate, 10),
    (Kind::Review, 220),
    (Kind::Look, 60),
    (Kind::Answer, 70),
    (Kind::Rescind, 16),
    (Kind::RescindAll, 4),
    (Kind::Issue, 28),
    (Kind::EndToken, 25),
    (Kind::Regenerate, 40),
    (Kind::Reveal, 45),
    (Kind::Write, 35),
    (Kind::Publish, 25),
    (Kind::Comment, 35),
    (Kind::Vote, 30),
    (Kind::MarkRead, 40),
    (Kind::Repeat, 80),
    (Kind::House, 30),
    (Kind::Advance, 60),
    (Kind::Stop, 5),
    (Kind::Crash, 5),
    (Kind::LoseModels, 3),
    (Kind::Misplace, 4),
    (Kind::FullDisk, 6),
    (Kind::Jump, 8),
    (Kind::Rebuild, 5),
    (Kind::Check, 6),
];

impl Kind {
    pub fn all() -> impl Iterator<Item = Self> {
        WEIGHTS.iter().map(|(kind, _)| *kind)
    }

    /// Whether it is one command, which may be refused.
    pub const fn is_command(self) -> bool {
        !matches!(
            self,
            Self::LogIn
                | Self::LogOut
                | Self::NewPassword
                | Self::Look
                | Self::Repeat
                | Self::House
                | Self::Advance
                | Self::Stop
                | Self::Crash
                | Self::LoseModels
                | Self::Misplace
                | Self::FullDisk
                | Self::Jump
                | Self::Rebuild
                | Self::Check
        )
    }

    /// Whether it asks what time it is, or takes a start: neither goes well with a wall clock that is wrong.
    pub const fn wants_the_time(self) -> bool {
        matches!(
            self,
            Self::LogIn
                | Self::NewPassword
                | Self::Look
                | Self::Answer
                | Self::Reveal
                | Self::Regenerate
                | Self::Advance
                | Self::Stop
                | Self::Crash
                | Self::LoseModels
                | Self::Misplace
                | Self::Jump
        )
    }
}

/// One step as the seed says it.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub number: usize,
    pub kind: Kind,
    pub dice: [usize; 6],
}

impl Step {
    /// One of these, by a die; `None` of none.
    pub fn pick<T: Copy>(&self, die: usize, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { Some(of[self.dice[die] % of.len()]) }
    }

    /// Whether a die says so, in so many of a hundred cases. It looks at other digits than [`Self::pick`] does.
    pub const fn says(&self, die: usize, in_a_hundred: usize) -> bool {
        self.dice[die] / 1_000 % 100 < in_a_hundred
    }
}

/// The steps of a seed. More of them begin with the same ones.
pub fn steps(seed: u64, number: usize) -> Vec<Step> {
    let mut chance = Chance::new(seed);
    let all: u64 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let step = |number| {
        let mut left = chance.next() % all;
        let kind = WEIGHTS.iter().find(|(_, weight)| {
            let is_it = left < *weight;
            left = left.saturating_sub(*weight);
            is_it
        });
        let dice = std::array::from_fn(|_| usize::try_from(chance.next() >> 32).expect("32 bits"));
        Step { number, kind: kind.expect("less than all weights").0, dice }
    };
    (0..number).map(step).collect()
}
